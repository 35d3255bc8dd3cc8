# How the sources become libraries.

set(MOAT_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})

# name: a set of compiled sources; ARGN: the definitions of its profile.
function(moat_add_objects name)
    add_library(${name} OBJECT ${MOAT_SOURCES})
    moat_configure_objects(${name} ${ARGN})
endfunction()

function(moat_configure_objects name)
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    target_compile_definitions(${name} PRIVATE $<$<CONFIG:Debug>:MOAT_DEBUG> ${ARGN})
    target_compile_options(${name} PRIVATE ${MOAT_COMPILE_OPTIONS})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
    target_include_directories(${name} SYSTEM PRIVATE $<TARGET_PROPERTY:moat-sodium,INTERFACE_INCLUDE_DIRECTORIES>)
endfunction()

function(moat_add_shared_library name objects)
    add_library(${name} SHARED $<TARGET_OBJECTS:${objects}>)
    add_library(Moat::${name} ALIAS ${name})
    set_target_properties(${name} PROPERTIES
        LINKER_LANGUAGE C
        VERSION ${PROJECT_VERSION}
        SOVERSION ${PROJECT_VERSION_MAJOR})
    target_link_options(${name} PRIVATE ${MOAT_LINK_OPTIONS})
    target_link_libraries(${name} PRIVATE moat-sodium)
    target_include_directories(${name} INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

# moat.o: all objects and the members of libsodium that they need, joined by ld -r, with only our public names left global.
# libmoat.a holds this one object: a linker takes it whole, so malloc can never come from us and free from libc.a.
function(moat_add_single_object objects)
    set(output ${PROJECT_BINARY_DIR}/moat.o)
    add_custom_command(OUTPUT ${output}
        COMMAND ${CMAKE_COMMAND} -DLINKER=${CMAKE_LINKER} -DOBJCOPY=${CMAKE_OBJCOPY} -DREADELF=${CMAKE_READELF}
            -DSODIUM=${MOAT_SODIUM_LIBRARY} -DOUTPUT=${output}
            -P ${MOAT_CMAKE_DIR}/link-object.cmake -- $<TARGET_OBJECTS:${objects}>
        DEPENDS $<TARGET_OBJECTS:${objects}> ${MOAT_CMAKE_DIR}/link-object.cmake
        COMMENT "Linking single object moat.o"
        COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target(moat-object ALL DEPENDS ${output})
    add_dependencies(moat-object ${objects})

    set_source_files_properties(${output} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    add_library(moat-static STATIC ${output})
    add_library(Moat::static ALIAS moat-static)
    add_dependencies(moat-static moat-object)
    set_target_properties(moat-static PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME moat EXPORT_NAME static)
    # -u malloc: also a program that never names malloc gets ours, since libc does name it.
    target_link_options(moat-static INTERFACE LINKER:-u,malloc)
    target_include_directories(moat-static INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

# Tests link the heap under other names (malloc is moat_malloc) beside the C library's own, and see everything hidden.
# Each is one object in an archive, for the reason that libmoat.a is: constructors and our own sodium_misuse must not get lost.
function(moat_add_test_libraries)
    set(sources ${MOAT_SOURCES})
    set(syscall src/os/syscall.c)
    list(REMOVE_ITEM sources ${syscall})

    set(sanitize "")
    if(MOAT_SANITIZE)
        set(sanitize -fsanitize=${MOAT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    endif()

    set(groups common)
    list(TRANSFORM sources PREPEND ${PROJECT_SOURCE_DIR}/)
    set(common_sources ${sources})
    if(syscall IN_LIST MOAT_SOURCES)
        list(APPEND groups real)
        set(real_sources ${PROJECT_SOURCE_DIR}/${syscall})
    endif()
    set(inject ${PROJECT_SOURCE_DIR}/test/inject/syscall.c)
    if(EXISTS ${inject})
        list(APPEND groups inject)
        set(inject_sources ${inject})
    endif()
    foreach(group IN LISTS groups)
        add_library(moat-prefixed-${group} OBJECT ${${group}_sources})
        moat_configure_objects(moat-prefixed-${group} ${MOAT_CHOSEN_DEFINITIONS})
        target_compile_options(moat-prefixed-${group} PRIVATE
            "SHELL:-include ${PROJECT_SOURCE_DIR}/test/support/prefix.h" ${sanitize})
        target_include_directories(moat-prefixed-${group} PRIVATE ${PROJECT_SOURCE_DIR}/test)
        set_property(TARGET moat-prefixed-${group} APPEND PROPERTY
            OBJECT_DEPENDS ${PROJECT_SOURCE_DIR}/test/support/prefix.h)
    endforeach()

    moat_add_test_library(moat-prefixed "${sanitize}" common real)
    if(TARGET moat-prefixed-inject)
        moat_add_test_library(moat-inject "${sanitize}" common inject)
    endif()
endfunction()

function(moat_add_test_library name sanitize)
    set(objects "")
    set(targets "")
    foreach(group IN LISTS ARGN)
        if(TARGET moat-prefixed-${group})
            list(APPEND targets moat-prefixed-${group})
            list(APPEND objects $<TARGET_OBJECTS:moat-prefixed-${group}>)
        endif()
    endforeach()
    set(output ${PROJECT_BINARY_DIR}/${name}.o)
    add_custom_command(OUTPUT ${output}
        COMMAND ${CMAKE_LINKER} -r -o ${output} ${objects}
        DEPENDS ${objects}
        COMMENT "Linking single object ${name}.o"
        COMMAND_EXPAND_LISTS VERBATIM)
    set_source_files_properties(${output} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    add_library(${name} STATIC ${output})
    add_dependencies(${name} ${targets})
    set_target_properties(${name} PROPERTIES LINKER_LANGUAGE C)
    find_package(Threads REQUIRED)
    target_compile_definitions(${name} INTERFACE $<$<CONFIG:Debug>:MOAT_DEBUG> ${MOAT_CHOSEN_DEFINITIONS})
    target_compile_options(${name} INTERFACE ${sanitize})
    target_link_options(${name} INTERFACE ${sanitize})
    target_link_libraries(${name} INTERFACE moat-sodium Threads::Threads)
    target_include_directories(${name} INTERFACE
        ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/test)
endfunction()
