# What ctest runs of the fuzz targets. Label fuzz.
function(fuzz_add_test name)
    add_test(NAME fuzz.${name} COMMAND ${ARGN} COMMAND_EXPAND_LISTS)
    set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 600)
endfunction()

foreach(name IN LISTS FUZZ_TARGETS)
    set(inputs "")
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/regress/${name})
        list(APPEND inputs ${CMAKE_CURRENT_SOURCE_DIR}/regress/${name})
    endif()
    # A seed of misuse that misuses nothing would be a test that cannot fail.
    if(name STREQUAL "misuse")
        list(APPEND inputs --reported)
    endif()
    fuzz_add_test(${name}.replay ${name}_replay ${inputs} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
    # And if no hostile write ever comes to light, nothing was written.
    if(name STREQUAL "lists")
        set_tests_properties(fuzz.lists.replay PROPERTIES FAIL_REGULAR_EXPRESSION ", 0 ended by a report")
    endif()
    fuzz_add_test(${name}.random ${name}_replay --random ${FUZZ_RANDOM_SEED} ${FUZZ_RANDOM_COUNT})
endforeach()

fuzz_add_test(seeds ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/gen_seeds.py --check)
if(TARGET misuse_replay)
    fuzz_add_test(same ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/check_seeded.py same
        $<TARGET_FILE:misuse_replay> ${CMAKE_CURRENT_SOURCE_DIR}/corpus/misuse)
endif()

set(fuzz_shipped $<TARGET_FILE:moat> ${PROJECT_BINARY_DIR}/moat.o)
if(TARGET moat-secure)
    list(APPEND fuzz_shipped $<TARGET_FILE:moat-secure>)
endif()
fuzz_add_test(release ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/check_seeded.py release
    --engine $<TARGET_OBJECTS:fuzz-engine> --control $<TARGET_FILE:model_replay>
    --door "${CMAKE_C_COMPILER} -D_GNU_SOURCE -fsyntax-only -I${PROJECT_SOURCE_DIR}/src -I${CMAKE_CURRENT_SOURCE_DIR}/engine ${CMAKE_CURRENT_SOURCE_DIR}/engine/door.c"
    --libraries ${fuzz_shipped})

# Half a minute of each target and engine, and the script's own word. Engines build the sources for themselves, so one configuration is
# enough: the usual one with every protection on.
if(SECURE AND NOT MOAT_SANITIZE AND NOT "${MOAT_CHOSEN_DEFINITIONS}" MATCHES "=0")
    foreach(name IN LISTS FUZZ_TARGETS)
        foreach(engine IN ITEMS libfuzzer afl)
            fuzz_add_test(${name}.${engine} ${PROJECT_SOURCE_DIR}/scripts/fuzz --target ${name} --engine ${engine} --time 30s --jobs 1
                --build ${CMAKE_CURRENT_BINARY_DIR}/engines --finds ${CMAKE_CURRENT_BINARY_DIR}/finds)
        endforeach()
    endforeach()
    fuzz_add_test(script ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/check_script.py ${PROJECT_SOURCE_DIR}
        ${CMAKE_CURRENT_BINARY_DIR}/script)
endif()
