# cmake --install: libraries, the single object, headers, the command, manual pages, the license, libsodium's
# notice, the example for systemd, pkg-config files and the CMake package.
include(CMakePackageConfigHelpers)

set(MOAT_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Moat)
set(MOAT_INSTALLED moat moat-static)
if(MOAT_ANY_PROTECTION)
    list(APPEND MOAT_INSTALLED moat-secure)
endif()

install(TARGETS ${MOAT_INSTALLED} EXPORT MoatTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/moat.h ${PROJECT_SOURCE_DIR}/include/moat_state.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS moat-command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES docs/man/moat.1 docs/man/moat-run.1 docs/man/moat-status.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES docs/man/moat.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7)
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/moat)
install(FILES docs/systemd/moat.conf DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/moat/systemd)
install(FILES ${PROJECT_BINARY_DIR}/moat.o DESTINATION ${CMAKE_INSTALL_LIBDIR})

install(EXPORT MoatTargets NAMESPACE Moat:: DESTINATION ${MOAT_PACKAGE_DIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/MoatConfig.cmake.in MoatConfig.cmake
    INSTALL_DESTINATION ${MOAT_PACKAGE_DIR}
    PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(MoatConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/MoatConfig.cmake ${PROJECT_BINARY_DIR}/MoatConfigVersion.cmake
    DESTINATION ${MOAT_PACKAGE_DIR})

# The files may be moved with their prefix: the prefix is found from the place of the .pc file.
file(RELATIVE_PATH MOAT_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" MOAT_PC_TO_PREFIX "${MOAT_PC_TO_PREFIX}")
foreach(target IN LISTS MOAT_INSTALLED)
    if(NOT target STREQUAL "moat-static")
        set(MOAT_PC_NAME ${target})
        configure_file(${CMAKE_CURRENT_LIST_DIR}/moat.pc.in ${target}.pc @ONLY)
        install(FILES ${PROJECT_BINARY_DIR}/${target}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
    endif()
endforeach()
