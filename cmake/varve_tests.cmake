# varve_tests.cmake: every *_test.c under tests/ is one program and one ctest entry, named after the file and labelled
# with its directory: `ctest --preset dev -L unit/base`, `-R coding_test`.
enable_testing()

find_path(VARVE_CMOCKA_INCLUDE cmocka.h)
find_library(VARVE_CMOCKA_LIBRARY cmocka)
find_library(VARVE_LZ4_LIBRARY lz4)
find_library(VARVE_XXHASH_LIBRARY xxhash)

file(GLOB_RECURSE varve_test_files CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/tests/unit/*_test.c ${PROJECT_SOURCE_DIR}/tests/contract/*_test.c
  ${PROJECT_SOURCE_DIR}/tests/model/*_test.c ${PROJECT_SOURCE_DIR}/tests/bug/*_test.c
  ${PROJECT_SOURCE_DIR}/tests/golden/*_test.c ${PROJECT_SOURCE_DIR}/tests/crash/*_test.c
  ${PROJECT_SOURCE_DIR}/tests/corruption/*_test.c)
file(GLOB varve_support_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/*.c)

if(NOT VARVE_CMOCKA_INCLUDE OR NOT VARVE_CMOCKA_LIBRARY)
  message(STATUS "cmocka (libcmocka-dev) is not installed: the C tests are left out")
  set(varve_test_files "")
endif()

# Tests against a library of the system, which is no part of the engine.
set(varve_test_libraries "")
foreach(pair lz4_test=VARVE_LZ4_LIBRARY xxh64_test=VARVE_XXHASH_LIBRARY)
  string(REPLACE "=" ";" pair ${pair})
  list(GET pair 0 stem)
  list(GET pair 1 library)
  if(${library})
    list(APPEND varve_test_libraries ${${library}})
  else()
    message(STATUS "${stem} is left out: the library that it compares with is not installed")
    list(FILTER varve_test_files EXCLUDE REGEX "/${stem}\\.c$")
  endif()
endforeach()

if(varve_test_files)
  # The engine's objects become part of this archive.
  add_library(varve_test_support STATIC ${varve_support_files})
  target_include_directories(varve_test_support PUBLIC ${PROJECT_SOURCE_DIR}/tests)
  target_include_directories(varve_test_support SYSTEM PUBLIC ${VARVE_CMOCKA_INCLUDE})
  target_link_libraries(varve_test_support PUBLIC varve_objects ${VARVE_CMOCKA_LIBRARY} ${varve_test_libraries})
endif()

# The crash simulator: the program `torture`, in one translation unit with the engine, and a library for tests that look
# at its parts or use its disk.
if(EXISTS ${PROJECT_SOURCE_DIR}/tests/crash/torture_all.c)
  add_executable(torture EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/crash/torture_all.c)
  target_include_directories(torture PRIVATE
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/tests/crash)
  target_link_libraries(torture PRIVATE varve_flags Threads::Threads)
  file(GLOB varve_sim_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/crash/sim_*.c)
  list(FILTER varve_sim_files EXCLUDE REGEX "_test\\.c$")
  add_library(varve_sim STATIC EXCLUDE_FROM_ALL ${varve_sim_files})
  target_include_directories(varve_sim PUBLIC ${PROJECT_SOURCE_DIR}/tests/crash)
  target_link_libraries(varve_sim PUBLIC varve_objects)
endif()

foreach(file IN LISTS varve_test_files)
  get_filename_component(name ${file} NAME_WE)
  get_filename_component(directory ${file} DIRECTORY)
  file(RELATIVE_PATH label ${PROJECT_SOURCE_DIR}/tests ${directory})
  add_executable(${name} ${file})
  target_link_libraries(${name} PRIVATE varve_test_support)
  if(label MATCHES "^(crash|bug)$" AND TARGET varve_sim)
    target_link_libraries(${name} PRIVATE varve_sim)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set(environment "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1;TSAN_OPTIONS=halt_on_error=1")
  if(VARVE_SANITIZE AND label MATCHES "^(crash|corruption)$")
    list(APPEND environment "VARVE_TEST_SCALE=5") # a release tries more; run one by hand for all
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${label}" TIMEOUT 600 ENVIRONMENT "${environment}")
endforeach()

# The random histories as a plain program, whose counts tests/js/model_wasm.test.js compares with WebAssembly's.
if(varve_test_files AND EXISTS ${PROJECT_SOURCE_DIR}/tests/model/model_main.c)
  add_executable(model_main ${PROJECT_SOURCE_DIR}/tests/model/model_main.c)
  target_link_libraries(model_main PRIVATE varve_test_support)
  add_test(NAME model_main COMMAND model_main 20 1 :memory:)
  set_tests_properties(model_main PROPERTIES LABELS model TIMEOUT 600)
endif()

# Programs that tests/process starts, stops and kills: users of the public interface.
file(GLOB varve_process_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/process/*.c)
foreach(file IN LISTS varve_process_files)
  get_filename_component(name ${file} NAME_WE)
  add_executable(${name} ${file})
  target_compile_options(${name} PRIVATE -Wshadow)
  target_link_libraries(${name} PRIVATE varve_static varve_flags Threads::Threads)
endforeach()

# The fuzz targets (tests/fuzz/fuzz.h) without libFuzzer: seeds, kept inputs and regressions.
file(GLOB fuzz_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/*.c)
list(FILTER fuzz_sources EXCLUDE REGEX "/fuzz_(main|replay)\\.c$")
file(GLOB fuzz_cli CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cli/*.c)
list(FILTER fuzz_cli EXCLUDE REGEX "/cli_(main|line_edit|terminal_none)\\.c$")
function(varve_fuzz_program name main)
  add_executable(${name} ${PROJECT_SOURCE_DIR}/tests/fuzz/${main} ${fuzz_sources} ${fuzz_cli})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE FUZZ_DIRECTORY="${PROJECT_SOURCE_DIR}/tests/fuzz")
  target_link_libraries(${name} PRIVATE varve_objects)
endfunction()
varve_fuzz_program(fuzz_replay fuzz_replay.c)
add_test(NAME fuzz_replay COMMAND fuzz_replay)
set_tests_properties(fuzz_replay PROPERTIES LABELS fuzz TIMEOUT 600)

# And with it, for tools/fuzz.mjs, which configures the compiler and VARVE_SANITIZE=fuzzer-no-link,address,undefined.
if(VARVE_SANITIZE MATCHES "fuzzer-no-link")
  varve_fuzz_program(fuzz fuzz_main.c)
  target_link_options(fuzz PRIVATE -fsanitize=fuzzer)
endif()

# Makes tests/golden/v<format version>; run by hand, once for each version of the format.
if(varve_test_files AND EXISTS ${PROJECT_SOURCE_DIR}/tests/golden/make_golden.c)
  add_executable(make_golden EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/golden/make_golden.c)
  target_include_directories(make_golden PRIVATE ${PROJECT_SOURCE_DIR}/tests/golden)
  target_link_libraries(make_golden PRIVATE varve_test_support)
endif()

# What a user does: look at the exports, use the amalgamation, use an installed tree. Each is one CMake script.
if(NOT VARVE_SANITIZE AND NOT VARVE_TINY AND EXISTS ${PROJECT_SOURCE_DIR}/examples/hello.c)
  find_program(VARVE_NODE NAMES node nodejs)
  set(varve_script_arguments -DSOURCE=${PROJECT_SOURCE_DIR} -DBUILD=${PROJECT_BINARY_DIR} -DCC=${CMAKE_C_COMPILER}
    -DNODE=${VARVE_NODE} -DLIBRARY=$<TARGET_FILE:varve> -DGENERATOR=${CMAKE_GENERATOR} -DLIBDIR=${CMAKE_INSTALL_LIBDIR})
  foreach(name exports_test amalgamation_test install_test)
    if(name STREQUAL "amalgamation_test" AND NOT VARVE_NODE)
      continue()
    endif()
    add_test(NAME ${name}
      COMMAND ${CMAKE_COMMAND} ${varve_script_arguments} -P ${PROJECT_SOURCE_DIR}/cmake/${name}.cmake)
    set_tests_properties(${name} PROPERTIES LABELS package TIMEOUT 600)
  endforeach()
endif()
