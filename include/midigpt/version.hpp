// version.hpp - the version of the library, for the preprocessor and for people.
#pragma once

#define MIDIGPT_VERSION_MAJOR 0
#define MIDIGPT_VERSION_MINOR 1
#define MIDIGPT_VERSION_PATCH 0

namespace midigpt {
inline namespace v0 {

inline constexpr const char* k_version = "0.1.0";

}  // namespace v0
}  // namespace midigpt
