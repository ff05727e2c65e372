// The other translation unit that includes everything.
#include <midigpt/midigpt.hpp>

std::size_t notes_of_other_unit(std::uint64_t seed) { return count_notes(midigpt::dice({.seed = seed})); }
