# Joins objects and the members of libsodium that they need into one object file.
#
#   cmake -DLINKER=.. -DOBJCOPY=.. -DREADELF=.. -DSODIUM=libsodium.a -DOUTPUT=moat.o -P link-object.cmake -- a.o b.o ...
#
# Which names stay global is read from the objects themselves: what the sources mark as visible. Hidden names cannot simply
# be made local first, because libsodium's members refer to one of ours (sodium_misuse).

set(objects "")
set(seen FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(index RANGE ${last})
    if(seen)
        list(APPEND objects "${CMAKE_ARGV${index}}")
    elseif(CMAKE_ARGV${index} STREQUAL "--")
        set(seen TRUE)
    endif()
endforeach()

function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output)
    if(NOT status EQUAL 0)
        list(JOIN ARGN " " command)
        message(FATAL_ERROR "This command failed (${status}): ${command}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

set(ours ${OUTPUT}.ours.o)
set(joined ${OUTPUT}.joined.o)
set(names ${OUTPUT}.names)

run(${LINKER} -r -o ${ours} ${objects})
run(${READELF} -sW ${ours})
string(REGEX MATCHALL "(GLOBAL|WEAK) +DEFAULT +[0-9]+ +[^ \n]+" lines "${output}")
if(NOT lines)
    message(FATAL_ERROR "No visible name is defined in ${ours}: nothing of the malloc family is exported by the sources.")
endif()
list(TRANSFORM lines REPLACE ".* " "")
list(SORT lines)
list(JOIN lines "\n" text)
file(WRITE ${names} "${text}\n")

# -u: see MOAT_LINK_OPTIONS in CMakeLists.txt.
run(${LINKER} -r -u sodium_runtime_has_avx2 -o ${joined} ${ours} ${SODIUM})
run(${OBJCOPY} --keep-global-symbols=${names} ${joined} ${OUTPUT})
file(REMOVE ${ours} ${joined} ${names})
