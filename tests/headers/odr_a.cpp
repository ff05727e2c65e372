// One of two translation units that include everything; Windows-like macros must not hurt.
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#include <midigpt/core/error.hpp>
#include <midigpt/core/utf8.hpp>
#undef min
#undef max
