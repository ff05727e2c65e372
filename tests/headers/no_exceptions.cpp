// The music and text wings compile with -fno-exceptions -fno-rtti.
#include <midigpt/core/bytes.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/core/parallel.hpp>
#include <midigpt/core/rng.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/midi/score.hpp>

int main() {
  midigpt::Result<int> r = midigpt::Error{midigpt::Errc::bad_value, 1, "x"};
  return r ? 1 : 0;
}
