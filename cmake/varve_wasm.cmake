# varve_wasm.cmake: varve.wasm for JavaScript: no glue, our own loader (bindings/js) instantiates it. emcc is called
# directly: its CMake toolchain brings nothing that one translation unit needs.
find_program(VARVE_EMCC emcc REQUIRED)
file(GLOB_RECURSE varve_inputs CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/src/*.c ${PROJECT_SOURCE_DIR}/src/*.h ${PROJECT_SOURCE_DIR}/include/varve.h)
set(VARVE_WASM_FLAGS "-O3" CACHE STRING "How to optimise varve.wasm")
set(VARVE_DIST "" CACHE PATH "A directory that gets a copy of varve.wasm; the JavaScript package reads dist/")
separate_arguments(varve_wasm_flags UNIX_COMMAND "${VARVE_WASM_FLAGS}")
if(VARVE_TINY)
  list(APPEND varve_wasm_flags -DVARVE_TINY)
endif()
if(VARVE_DEBUG)
  list(APPEND varve_wasm_flags -DVARVE_DEBUG)
endif()
if(VARVE_WERROR)
  list(APPEND varve_wasm_flags -Werror)
endif()

# Debian's emcc finds its JavaScript packages there.
set(varve_node_path "$ENV{NODE_PATH}")
if(EXISTS /usr/share/nodejs)
  string(JOIN ":" varve_node_path ${varve_node_path} /usr/share/nodejs)
endif()

add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/varve.wasm
  COMMAND ${CMAKE_COMMAND} -E env "NODE_PATH=${varve_node_path}" ${VARVE_EMCC}
    -std=c11 -Wall -Wextra -Wconversion -DNDEBUG ${varve_wasm_flags}
    -fvisibility=hidden -msimd128 -mbulk-memory -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include
    --no-entry -sSTANDALONE_WASM -sERROR_ON_UNDEFINED_SYMBOLS=0 -sWARN_ON_UNDEFINED_SYMBOLS=0 -sALLOW_MEMORY_GROWTH -sMAXIMUM_MEMORY=4GB
    -sTOTAL_STACK=1MB -Wl,--stack-first
    -o ${PROJECT_BINARY_DIR}/varve.wasm ${PROJECT_SOURCE_DIR}/src/varve_all.c
  DEPENDS ${varve_inputs} COMMENT "Building varve.wasm (Emscripten)" VERBATIM)
add_custom_target(varve_wasm ALL DEPENDS ${PROJECT_BINARY_DIR}/varve.wasm)
if(VARVE_DIST)
  add_custom_command(TARGET varve_wasm POST_BUILD
    COMMAND ${CMAKE_COMMAND} -E make_directory ${VARVE_DIST}
    COMMAND ${CMAKE_COMMAND} -E copy_if_different ${PROJECT_BINARY_DIR}/varve.wasm ${VARVE_DIST}/varve.wasm VERBATIM)
endif()
