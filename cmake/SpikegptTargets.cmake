# How every target of this project is built.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Without these ccache takes nothing that uses a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()

# For targets that compute nothing to speak of: compiled quickly rather than to be quick.
function(spikegpt_compile_quickly target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

function(spikegpt_compile_options target)
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion -Werror
                         $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # GCC 12 sees overlaps in std::string that are none
  if(SPIKEGPT_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${SPIKEGPT_SANITIZE} -fno-omit-frame-pointer
                           -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=${SPIKEGPT_SANITIZE})
  endif()
  if(SPIKEGPT_SANITIZE MATCHES "thread")  # clang says so to no #if
    target_compile_definitions(${target} PRIVATE SPIKEGPT_THREAD_SANITIZER)
  endif()
  if(SPIKEGPT_FUZZ)
    # Light, because all of it is built for a run of seconds. The kernels are not what is tried: one instruction
    # set is enough.
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link -O1 -gline-tables-only)
    target_compile_definitions(${target} PRIVATE HWY_COMPILE_ONLY_STATIC)
  endif()
endfunction()

# spikegpt_layer(NAME libraries...): the static library of the folder spikegpt/NAME.
function(spikegpt_layer name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/spikegpt/${name}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/cli/main\\.cc$")
  file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/spikegpt/${name}/*.h)
  if(sources)
    add_library(spikegpt_${name} STATIC ${sources})
    spikegpt_compile_options(spikegpt_${name})
    set_target_properties(spikegpt_${name} PROPERTIES EXCLUDE_FROM_ALL ${SPIKEGPT_FUZZ})
    if(name STREQUAL "kernels")
      target_include_directories(spikegpt_${name} SYSTEM PRIVATE ${DNNL_INCLUDE})
    endif()
    target_link_libraries(spikegpt_${name} ${ARGN})
  elseif(headers)
    add_library(spikegpt_${name} INTERFACE)
    list(TRANSFORM ARGN REPLACE "^(PUBLIC|PRIVATE)$" "INTERFACE")
    target_link_libraries(spikegpt_${name} ${ARGN})
  endif()
endfunction()

# spikegpt_test(NAME libraries...): one test program of all tests/NAME/*_test.cc.
function(spikegpt_test name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*_test.cc)
  if(sources)
    # Those that reach the kernels obey SPIKEGPT_SIMD, as the program does.
    if(name MATCHES "^(kernels|model|train|infer|energy|cli|end_to_end)$")
      list(APPEND sources ${CMAKE_SOURCE_DIR}/tests/support/obey_environment.cc)
    endif()
    add_executable(test_${name} ${sources})
    spikegpt_compile_options(test_${name})
    spikegpt_compile_quickly(test_${name})
    target_link_libraries(test_${name} PRIVATE ${ARGN} test_places GTest::gtest_main)
    gtest_discover_tests(test_${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 600
                         ENVIRONMENT OMP_WAIT_POLICY=passive
                         LABELS ${name} TEST_PREFIX "${name}." WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  endif()
endfunction()
