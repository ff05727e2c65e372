# cmake -D KIND=... -D SOURCE=... -D BUILD=... [-D INSTALLED_FROM=build folder] -P run.cmake
# Configures, builds and runs tests/package/KIND as a project of its own.
function(step)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
file(REMOVE_RECURSE ${BUILD})
set(prefix "")
if(KIND STREQUAL "find_package")
  step(${CMAKE_COMMAND} --install ${INSTALLED_FROM} --prefix ${BUILD}/prefix)
  set(prefix -DCMAKE_PREFIX_PATH=${BUILD}/prefix)
endif()
step(${CMAKE_COMMAND} -S ${SOURCE}/tests/package/${KIND} -B ${BUILD}/build -DMIDIGPT_SOURCE=${SOURCE} ${prefix})
step(${CMAKE_COMMAND} --build ${BUILD}/build)
step(${BUILD}/build/consumer)
