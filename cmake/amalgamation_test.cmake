# amalgamation_test.cmake: a user's program out of the amalgamation and examples/hello.c, with each compiler there is.
include(${CMAKE_CURRENT_LIST_DIR}/script_run.cmake)

set(dir ${BUILD}/amalgamation)
file(REMOVE_RECURSE ${dir})
file(MAKE_DIRECTORY ${dir})
run(${NODE} ${SOURCE}/tools/amalgamate.mjs ${dir})
file(COPY ${SOURCE}/examples/hello.c DESTINATION ${dir})
foreach(compiler gcc clang)
  find_program(${compiler}_program ${compiler})
  if(${compiler}_program)
    run(${CMAKE_COMMAND} -E chdir ${dir} ${${compiler}_program} -std=c11 -O2 -Wall -Wextra -Werror -c varve.c -o ${compiler}.o)
    run(${CMAKE_COMMAND} -E chdir ${dir}
      ${${compiler}_program} -std=c11 -O2 -Wall -Wextra -Werror hello.c ${compiler}.o -lpthread -o hello_${compiler})
    file(REMOVE_RECURSE ${dir}/place)
    run_hello(${dir}/hello_${compiler} ${dir}/place)
  endif()
endforeach()
