#include <midigpt/tensor/simd.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <midigpt/core/rng.hpp>

#include <tensor/shared.hpp>

using namespace midigpt;

namespace {

namespace simd = detail::simd;

/// Of n <= 16 numbers: out = {sum, largest}, then the numbers behind a partial load and store, then their roots.
struct Fold {
  template <class S, class T>
  [[gnu::always_inline]] static void run(std::size_t n, const T* x, T* out) {
    T total = 0, high = x[0];
    simd::sweep<S>(n, [&](std::size_t i, std::size_t count) {
      typename S::vec v, root;
      simd::load<S>(v, x + i, count);
      total += simd::sum<S>(v);  // a partial load has zeros behind
      root = v;
      simd::sqrt<S>(root);
      simd::store<S>(out + 2 + i, v, count);
      simd::store<S>(out + 2 + n + i, root, count);
      simd::splat<S>(root, x[i]);
      for (std::size_t k = count; k < S::width; ++k) v[k] = root[k];  // zeros must not win
      high = (std::max)(high, simd::largest<S>(v));
    });
    out[0] = total;
    out[1] = high;
  }
};

template <class T>
void check_fold(Isa isa, double tolerance) {
  for (std::size_t n = 1; n <= 40; ++n) {
    CAPTURE(n);
    Rng rng(n, 1);
    std::vector<T> x(n), out(2 + 2 * n + 1, T(-7));
    for (T& v : x) v = static_cast<T>(rng.uniform() + 0.001);
    detail::simd_call<Fold, T>(isa, n, static_cast<const T*>(x.data()), out.data());
    CHECK(std::abs(static_cast<double>(out[0]) - std::accumulate(x.begin(), x.end(), 0.0)) <= tolerance * static_cast<double>(n));
    CHECK(out[1] == *std::max_element(x.begin(), x.end()));
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(out[2 + i] == x[i]);
      CHECK(std::abs(static_cast<double>(out[2 + n + i]) - std::sqrt(static_cast<double>(x[i]))) <= tolerance);
    }
    CHECK(out.back() == T(-7));  // nothing is written behind
  }
}

}  // namespace

TEST_CASE("simd: sums, maxima, roots and partial loads agree with loops, on every instruction set here") {
  each_isa([](Isa isa) { check_fold<float>(isa, 1e-6); });
  check_fold<double>(Isa::portable, 1e-14);
}

#if defined(__x86_64__)
namespace {

/// The parts of the register file in use (XINUSE): bit 2 the upper halves of ymm0 to 15, bit 6 those of zmm0 to 15; 0 where
/// the processor does not tell. Source: Intel SDM vol. 1, 13.6.
unsigned registers_in_use() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(1), "c"(0));
  if ((c >> 27 & 1) == 0) return 0;  // OSXSAVE
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(13), "c"(1));
  if ((a >> 2 & 1) == 0) return 0;  // XGETBV with ECX = 1
  asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
  return a & 0x44;
}

[[gnu::target("avx")]] void dirty_registers() {
  asm volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0" ::: "xmm0");
}

}  // namespace

TEST_CASE("simd: a kernel leaves no upper halves of registers in use, which would slow down all SSE code after it") {
  if (best_isa() == Isa::portable) return;
  dirty_registers();
  const bool told = registers_in_use() != 0;
  asm volatile("vzeroupper" ::: "memory");
  MESSAGE((told ? "the processor tells" : "the processor does not tell: nothing checked"));
  std::vector<float> x(100, 2.0f), out(2 + 2 * x.size());
  each_isa([&](Isa isa) {
    detail::simd_call<Fold, float>(isa, x.size(), x.data(), out.data());
    const unsigned in_use = registers_in_use();
    CHECK(in_use == 0);
  });
}
#endif
