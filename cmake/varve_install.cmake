# varve_install.cmake: what `cmake --install` puts where, and how other builds find it.
include(CMakePackageConfigHelpers)

install(TARGETS varve varve_static EXPORT varve_targets)
install(FILES ${PROJECT_SOURCE_DIR}/include/varve.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET varve_cli)
  install(TARGETS varve_cli)
endif()
if(TARGET varve_dump)
  install(TARGETS varve_dump RUNTIME OPTIONAL) # not among what npm run build builds
endif()

set(varve_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/varve)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/varve-config.cmake.in
  ${PROJECT_BINARY_DIR}/varve-config.cmake INSTALL_DESTINATION ${varve_cmake_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/varve-config-version.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT varve_targets NAMESPACE varve:: DESTINATION ${varve_cmake_dir} FILE varve-targets.cmake)
install(FILES ${PROJECT_BINARY_DIR}/varve-config.cmake ${PROJECT_BINARY_DIR}/varve-config-version.cmake
  DESTINATION ${varve_cmake_dir})

# Relative to the .pc file, so that an installed tree may be moved.
file(RELATIVE_PATH varve_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" varve_pc_prefix "${varve_pc_prefix}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/varve.pc.in ${PROJECT_BINARY_DIR}/varve.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/varve.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
