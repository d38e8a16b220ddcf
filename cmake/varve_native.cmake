# varve_native.cmake: libraries, the command-line program and varve_dump for this machine.
enable_language(C)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(CMAKE_C_FLAGS_RELEASE "-O3 -DNDEBUG")
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
  if(varve_is_top) # visible in the cache, too
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug or Release" FORCE)
  endif()
endif()
include(GNUInstallDirs)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# How every C file of the project is compiled. Users of the library get none of this.
add_library(varve_flags INTERFACE)
target_compile_options(varve_flags INTERFACE -Wall -Wextra -Wconversion $<$<BOOL:${VARVE_WERROR}>:-Werror>)
target_compile_definitions(varve_flags INTERFACE
  $<$<BOOL:${VARVE_TINY}>:VARVE_TINY> $<$<OR:$<BOOL:${VARVE_DEBUG}>,$<CONFIG:Debug>>:VARVE_DEBUG>)
if(VARVE_SANITIZE)
  target_compile_options(varve_flags INTERFACE
    -fsanitize=${VARVE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(varve_flags INTERFACE -fsanitize=${VARVE_SANITIZE})
endif()

# The libraries: one translation unit, in which nothing but varve_* is visible. There a type of one file is in the scope
# of all others, so shadowing says nothing; the build of single files checks it.
function(varve_library target kind)
  add_library(${target} ${kind} ${PROJECT_SOURCE_DIR}/src/varve_all.c)
  target_include_directories(${target}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:varve_flags> Threads::Threads)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME varve C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
endfunction()
varve_library(varve SHARED)
set_target_properties(varve PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
if(NOT VARVE_SANITIZE AND NOT APPLE)
  target_link_options(varve PRIVATE LINKER:--no-undefined)
endif()
varve_library(varve_static STATIC)
add_library(varve::varve ALIAS varve)
add_library(varve::varve_static ALIAS varve_static)

# The same sources one by one, for tests and tools that look inside.
file(GLOB varve_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*/*.c)
set(varve_not_native
  src/env/vfs_host.c src/env/env_wasm.c src/env/vfs_wasi.c src/env/env_wasi.c src/env/sync_none.c src/api/api_wasm.c
  src/api/api_wasm_rows.c src/api/api_wasm_value.c src/api/api_wasm_txn.c
  src/api/api_wasm_index.c)
list(TRANSFORM varve_not_native PREPEND ${PROJECT_SOURCE_DIR}/)
list(REMOVE_ITEM varve_sources ${varve_not_native})
add_library(varve_objects OBJECT EXCLUDE_FROM_ALL ${varve_sources})
target_compile_definitions(varve_objects PUBLIC VARVE_THREADS=1)
target_compile_options(varve_objects PUBLIC -Wshadow)
target_include_directories(varve_objects PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(varve_objects PUBLIC varve_flags Threads::Threads)

# The command-line program. Files named *_none.c stand in for what a host lacks.
file(GLOB cli_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cli/*.c)
if(VARVE_CLI AND cli_sources)
  find_path(VARVE_LIBEDIT_INCLUDE editline/readline.h)
  find_library(VARVE_LIBEDIT_LIBRARY edit)
  add_executable(varve_cli)
  set_target_properties(varve_cli PROPERTIES OUTPUT_NAME varve)
  list(FILTER cli_sources EXCLUDE REGEX "cli_terminal_none\\.c$")
  if(VARVE_LIBEDIT_INCLUDE AND VARVE_LIBEDIT_LIBRARY)
    list(FILTER cli_sources EXCLUDE REGEX "cli_line_none\\.c$")
    target_compile_definitions(varve_cli PRIVATE HAVE_LIBEDIT)
    target_include_directories(varve_cli SYSTEM PRIVATE ${VARVE_LIBEDIT_INCLUDE})
    target_link_libraries(varve_cli PRIVATE ${VARVE_LIBEDIT_LIBRARY})
  else()
    list(FILTER cli_sources EXCLUDE REGEX "cli_line_edit\\.c$")
    message(STATUS "libedit is not installed: the shell goes without history and completion")
  endif()
  target_sources(varve_cli PRIVATE ${cli_sources})
  target_compile_options(varve_cli PRIVATE -Wshadow)
  target_link_libraries(varve_cli PRIVATE varve_static varve_flags)
endif()

if(EXISTS ${PROJECT_SOURCE_DIR}/tools/varve_dump.c)
  add_executable(varve_dump ${PROJECT_SOURCE_DIR}/tools/varve_dump.c)
  target_link_libraries(varve_dump PRIVATE varve_objects)
endif()
