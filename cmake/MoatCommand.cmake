# The command moat: a program of its own, which links nothing of the library's.
file(GLOB command_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/command/*.c)

# From where the command is installed to where the libraries are: both may be moved together.
file(RELATIVE_PATH way_to_libraries ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})

# The name moat is the library's.
add_executable(moat-command ${command_sources})
set_target_properties(moat-command PROPERTIES OUTPUT_NAME moat)
target_compile_definitions(moat-command PRIVATE
    _GNU_SOURCE
    MOAT_COMMAND_VERSION="${PROJECT_VERSION}"
    MOAT_SO_NUMBER="${PROJECT_VERSION_MAJOR}"
    MOAT_WAY_TO_LIBRARIES="${way_to_libraries}")
target_compile_options(moat-command PRIVATE ${MOAT_WARNINGS} -fPIE -fstack-protector-strong)
target_link_options(moat-command PRIVATE -pie LINKER:-z,now LINKER:-z,relro LINKER:-z,noexecstack)
target_include_directories(moat-command PRIVATE ${PROJECT_SOURCE_DIR}/include)
