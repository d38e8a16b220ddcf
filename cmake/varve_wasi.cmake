# varve_wasi.cmake: the command-line program for any WASI host, with clang and wasi-libc.
find_program(VARVE_WASI_CLANG clang REQUIRED)
set(VARVE_WASI_SYSROOT /usr CACHE PATH "Where wasi-libc's include/wasm32-wasi and lib/wasm32-wasi are")
if(NOT EXISTS ${VARVE_WASI_SYSROOT}/include/wasm32-wasi)
  message(FATAL_ERROR "no wasi-libc in ${VARVE_WASI_SYSROOT}: install it (Debian: wasi-libc "
    "libclang-rt-14-dev-wasm32 lld) or set VARVE_WASI_SYSROOT")
endif()
file(GLOB_RECURSE varve_inputs CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/src/*.c ${PROJECT_SOURCE_DIR}/src/*.h ${PROJECT_SOURCE_DIR}/include/varve.h
  ${PROJECT_SOURCE_DIR}/cli/*.h)
file(GLOB varve_wasi_cli CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cli/*.c)
list(FILTER varve_wasi_cli EXCLUDE REGEX "cli_(terminal_posix|line_edit)\\.c$")
# No -mbulk-memory: with it clang 14 takes wasi-libc's errno for a variable of a thread, which it has not.
set(varve_wasi_flags -O2 -DNDEBUG)
if(VARVE_WERROR)
  list(APPEND varve_wasi_flags -Werror)
endif()

if(varve_wasi_cli)
  add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/varve.wasm
    COMMAND ${VARVE_WASI_CLANG} --target=wasm32-wasi --sysroot=${VARVE_WASI_SYSROOT}
      -std=c11 -Wall -Wextra -Wconversion ${varve_wasi_flags} -fvisibility=hidden
      -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include -Wl,-z,stack-size=1048576
      -o ${PROJECT_BINARY_DIR}/varve.wasm ${PROJECT_SOURCE_DIR}/src/varve_all.c ${varve_wasi_cli}
    DEPENDS ${varve_inputs} ${varve_wasi_cli} COMMENT "Building varve.wasm (WASI)" VERBATIM)
  add_custom_target(varve_wasi ALL DEPENDS ${PROJECT_BINARY_DIR}/varve.wasm)
endif()

# The random histories of tests/model, for tests/js/model_wasm.test.js: with the constants of a release, and shrunken ones.
if(VARVE_TESTS AND EXISTS ${PROJECT_SOURCE_DIR}/tests/model/model_main.c)
  set(varve_model_sources ${PROJECT_SOURCE_DIR}/tests/model/model_main.c ${PROJECT_SOURCE_DIR}/tests/support/model.c)
  foreach(kind model_main model_main_tiny)
    set(varve_model_flags "")
    if(kind STREQUAL "model_main_tiny")
      set(varve_model_flags -DVARVE_TINY)
    endif()
    add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/${kind}.wasm
      COMMAND ${VARVE_WASI_CLANG} --target=wasm32-wasi --sysroot=${VARVE_WASI_SYSROOT}
        -std=c11 -Wall -Wextra -Wconversion ${varve_wasi_flags} ${varve_model_flags} -fvisibility=hidden -mbulk-memory
        -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include -I${PROJECT_SOURCE_DIR}/tests
        -Wl,-z,stack-size=1048576 -o ${PROJECT_BINARY_DIR}/${kind}.wasm
        ${PROJECT_SOURCE_DIR}/src/varve_all.c ${varve_model_sources}
      DEPENDS ${varve_inputs} ${varve_model_sources} ${PROJECT_SOURCE_DIR}/tests/support/model.h
      COMMENT "Building ${kind}.wasm (WASI)" VERBATIM)
    add_custom_target(varve_wasi_${kind} ALL DEPENDS ${PROJECT_BINARY_DIR}/${kind}.wasm)
  endforeach()
endif()

# The crash simulator, whose traces tools/torture.mjs compares with those of the native one.
if(VARVE_TESTS AND EXISTS ${PROJECT_SOURCE_DIR}/tests/crash/torture_all.c)
  file(GLOB varve_torture_inputs CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/crash/*.c
    ${PROJECT_SOURCE_DIR}/tests/crash/*.h)
  add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/torture.wasm
    COMMAND ${VARVE_WASI_CLANG} --target=wasm32-wasi --sysroot=${VARVE_WASI_SYSROOT}
      -std=c11 -Wall -Wextra -Wconversion ${varve_wasi_flags} -DVARVE_TINY -fvisibility=hidden -mbulk-memory
      -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include -I${PROJECT_SOURCE_DIR}/tests/crash
      -Wl,-z,stack-size=4194304 -o ${PROJECT_BINARY_DIR}/torture.wasm ${PROJECT_SOURCE_DIR}/tests/crash/torture_all.c
    DEPENDS ${varve_inputs} ${varve_torture_inputs} COMMENT "Building torture.wasm (WASI)" VERBATIM)
  add_custom_target(varve_wasi_torture ALL DEPENDS ${PROJECT_BINARY_DIR}/torture.wasm)
endif()
