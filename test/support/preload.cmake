# Programs that call the family by its ordinary names and get the built library by LD_PRELOAD: what users run.
#
# moat_add_preload_test(NAME LABEL TARGET): runs TARGET on the library of the chosen profile. MOAT_TEST_PRELOADED tells
# the program which file must answer its malloc, so that a library that was not preloaded fails the test. There is
# nothing to run where the tests are sanitized: a sanitizer brings its own malloc.
include_guard(GLOBAL)

function(moat_add_preload_test name label target)
    if(MOAT_SANITIZE)
        return()
    endif()
    set(library moat)
    if(TARGET moat-secure)
        set(library moat-secure)
    endif()
    add_test(NAME ${name} COMMAND ${target})
    set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${MOAT_TEST_SECONDS}
        ENVIRONMENT "LD_PRELOAD=$<TARGET_FILE:${library}>;MOAT_TEST_PRELOADED=lib${library}.so")
endfunction()

# Every FOLDER/NAME_test.c once more by ordinary names, as the test FOLDER.preload.NAME.
# dynamic-undefined-weak: it names functions that this C library may not have (free_sized), and the loader is to look for
# them.
# stdc++: answers operator new where no Moat is preloaded.
function(moat_add_preloaded_folder folder)
    if(MOAT_SANITIZE)
        return()
    endif()
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.c)
    foreach(source IN LISTS sources)
        get_filename_component(name ${source} NAME)
        string(REGEX REPLACE "_test\\.c$" "" name ${name})
        set(target test.${folder}.preload.${name})
        add_executable(${target} ${source})
        moat_configure_test_program(${target})
        target_compile_definitions(${target} PRIVATE TEST_REAL_NAMES)
        target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/test)
        target_link_options(${target} PRIVATE LINKER:-z,dynamic-undefined-weak)
        target_link_libraries(${target} PRIVATE Threads::Threads stdc++)
        moat_add_preload_test(${folder}.preload.${name} ${folder} ${target})
    endforeach()
endfunction()
