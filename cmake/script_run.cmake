# script_run.cmake: run(command…) for the test scripts here: fails with the command and its output.
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "failed (${result}): ${command}\n${output}")
  endif()
  set(run_output "${output}" PARENT_SCOPE)
endfunction()

# The example says this when all is well.
function(run_hello)
  run(${ARGN})
  if(NOT run_output MATCHES "user:1 = Alice\nuser:2 = Bob\n")
    message(FATAL_ERROR "hello printed something else:\n${run_output}")
  endif()
endfunction()
