// One of two translation units that include everything and are linked. Windows' min and max macros must not hurt: the
// standard headers and Eigen, which they would break, come first.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <chrono>
#include <cmath>
#include <complex>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <queue>
#include <random>
#include <ranges>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include <Eigen/Core>

#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#include <midigpt/midigpt.hpp>
#undef min
#undef max

std::size_t notes_of_other_unit(std::uint64_t seed);

int main() { return count_notes(midigpt::dice({.seed = 3})) == notes_of_other_unit(3) ? 0 : 1; }
