// tensor/simd.hpp - one source for every kernel, compiled for several instruction sets, chosen while the program runs.
//   A kernel is a struct with `template <class S> static void run(...)`, S being one of the vector kinds below, written
//   in GCC/clang vector extensions and forced inline; `simd_call<Kernel, T>(isa, ...)` runs it inside a function
//   compiled for that instruction set. So a program built with plain -O2 is as fast as one built with -march=native.
//   Vectors never cross a function boundary by value: their calling convention depends on compiler flags.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if !defined(__GNUC__)
#error "midigpt's tensor wing needs GCC or clang: its kernels are written in their vector extensions"
#endif

namespace midigpt {
inline namespace v0 {

/// Which machine code the kernels run. Results differ between kinds in the last bits, never between thread counts.
enum class Isa : std::uint8_t {
  portable,  // 16-byte vectors, what the compiler's own flags allow
  avx2,      // 32-byte vectors and FMA
  avx512,    // 64-byte vectors and FMA
};

[[nodiscard]] constexpr const char* isa_name(Isa isa) noexcept {
  return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "portable";
}

/// The best kind this processor runs.
[[nodiscard]] inline Isa best_isa() noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::portable;
}

namespace detail::simd {

// Alignment of one element: loads and stores through these types may stand anywhere.
struct F512 {
  using scalar = float;
  using integer = std::int32_t;
  typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
  typedef std::int32_t ivec __attribute__((vector_size(64), aligned(4), may_alias));
  typedef std::uint32_t uvec __attribute__((vector_size(64), aligned(4), may_alias));
  static constexpr std::size_t width = 16;
  static constexpr std::size_t tile_rows = 14;  // 14 x 2 accumulators of 32 registers
};
struct F256 {
  using scalar = float;
  using integer = std::int32_t;
  typedef float vec __attribute__((vector_size(32), aligned(4), may_alias));
  typedef std::int32_t ivec __attribute__((vector_size(32), aligned(4), may_alias));
  typedef std::uint32_t uvec __attribute__((vector_size(32), aligned(4), may_alias));
  static constexpr std::size_t width = 8;
  static constexpr std::size_t tile_rows = 6;  // 6 x 2 accumulators of 16 registers
};
struct F128 {
  using scalar = float;
  using integer = std::int32_t;
  typedef float vec __attribute__((vector_size(16), aligned(4), may_alias));
  typedef std::int32_t ivec __attribute__((vector_size(16), aligned(4), may_alias));
  typedef std::uint32_t uvec __attribute__((vector_size(16), aligned(4), may_alias));
  static constexpr std::size_t width = 4;
  static constexpr std::size_t tile_rows = 6;
};
struct D128 {
  using scalar = double;
  using integer = std::int64_t;
  typedef double vec __attribute__((vector_size(16), aligned(8), may_alias));
  typedef std::int64_t ivec __attribute__((vector_size(16), aligned(8), may_alias));
  typedef std::uint64_t uvec __attribute__((vector_size(16), aligned(8), may_alias));
  static constexpr std::size_t width = 2;
  static constexpr std::size_t tile_rows = 6;
};

#if defined(__x86_64__)
// The upper halves of the vector registers are cleared behind each kernel, or all SSE code that follows in the program
// runs many times slower. GCC does it by itself from -O2 on, but not with -O1 or -Os.
template <class Kernel, class... Args>
[[gnu::target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]] void run_avx512(Args... args) {
  Kernel::template run<F512>(args...);
  __builtin_ia32_vzeroupper();
}
template <class Kernel, class... Args>
[[gnu::target("avx2,fma")]] void run_avx2(Args... args) {
  Kernel::template run<F256>(args...);
  __builtin_ia32_vzeroupper();
}
#endif

/// What the compiler was told it may use: part of the portable functions' names, so that translation units built with
/// different flags do not share them.
enum class Build { plain, avx, avx2, avx512 };
inline constexpr Build k_build =
#if defined(__AVX512F__)
    Build::avx512;
#elif defined(__AVX2__)
    Build::avx2;
#elif defined(__AVX__)
    Build::avx;
#else
    Build::plain;
#endif

template <class Kernel, class S, Build, class... Args>
void run_portable(Args... args) {
  Kernel::template run<S>(args...);
}

/// Another kernel, called (not inlined) from inside one of kind S.
template <class S, class Kernel, class... Args>
[[gnu::always_inline]] inline void call_same(Args... args) {
#if defined(__x86_64__)
  if constexpr (std::is_same_v<S, F512>) return run_avx512<Kernel>(args...);
  if constexpr (std::is_same_v<S, F256>) return run_avx2<Kernel>(args...);
#endif
  if constexpr (S::width * sizeof(typename S::scalar) == 16) run_portable<Kernel, S, k_build>(args...);
}

}  // namespace detail::simd

namespace detail {

template <class Kernel, class T, class... Args>
void simd_call([[maybe_unused]] Isa isa, Args... args) {
  if constexpr (std::is_same_v<T, double>) {
    simd::run_portable<Kernel, simd::D128, simd::k_build>(args...);
  } else {
#if defined(__x86_64__)
    if (isa == Isa::avx512) return simd::run_avx512<Kernel>(args...);
    if (isa == Isa::avx2) return simd::run_avx2<Kernel>(args...);
#endif
    simd::run_portable<Kernel, simd::F128, simd::k_build>(args...);
  }
}

/// Elements of one vector of kind `isa`.
template <class T>
[[nodiscard]] constexpr std::size_t simd_width(Isa isa) noexcept {
  if constexpr (std::is_same_v<T, double>) return simd::D128::width;
  return isa == Isa::avx512 ? simd::F512::width : isa == Isa::avx2 ? simd::F256::width : simd::F128::width;
}

}  // namespace detail

namespace detail::simd {

/// Loads the n <= width elements at p, zeros behind them.
template <class S>
[[gnu::always_inline]] inline void load(typename S::vec& v, const typename S::scalar* p, std::size_t n) {
  if (n >= S::width) {
    v = *reinterpret_cast<const typename S::vec*>(p);
  } else {
    v = typename S::vec{};
    for (std::size_t i = 0; i < n; ++i) v[i] = p[i];
  }
}

template <class S>
[[gnu::always_inline]] inline void store(typename S::scalar* p, const typename S::vec& v, std::size_t n) {
  if (n >= S::width) {
    *reinterpret_cast<typename S::vec*>(p) = v;
  } else {
    for (std::size_t i = 0; i < n; ++i) p[i] = v[i];
  }
}

/// Calls f(i, n) for i = 0, width, 2 width...: n is the number of elements there, width but for the last.
template <class S, class F>
[[gnu::always_inline]] inline void sweep(std::size_t size, const F& f) {
  std::size_t i = 0;
  for (; i + S::width <= size; i += S::width) f(i, S::width);
  if (i < size) f(i, size - i);
}

/// Elements n.. become 0.
template <class S>
[[gnu::always_inline]] inline void clear_behind(typename S::vec& v, std::size_t n) {
  for (std::size_t i = n; i < S::width; ++i) v[i] = typename S::scalar(0);
}

/// v := v turned by half, quarter... of its elements: the steps of a tree over all of them.
template <class S>
[[gnu::always_inline]] inline void swap_halves(typename S::vec& v, int distance) {
  if constexpr (S::width == 16) {
    if (distance == 8)
      v = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    else if (distance == 4)
      v = __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    else if (distance == 2)
      v = __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    else
      v = __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
  } else if constexpr (S::width == 8) {
    if (distance == 4)
      v = __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
    else if (distance == 2)
      v = __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
    else
      v = __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
  } else if constexpr (S::width == 4) {
    if (distance == 2)
      v = __builtin_shufflevector(v, v, 2, 3, 0, 1);
    else
      v = __builtin_shufflevector(v, v, 1, 0, 3, 2);
  } else {
    v = __builtin_shufflevector(v, v, 1, 0);
  }
}

template <class S>
[[gnu::always_inline]] inline typename S::scalar sum(const typename S::vec& v) {
  typename S::vec total = v;
#pragma GCC unroll 4
  for (int distance = static_cast<int>(S::width) / 2; distance > 0; distance /= 2) {
    typename S::vec other = total;
    swap_halves<S>(other, distance);
    total += other;
  }
  return total[0];
}

template <class S>
[[gnu::always_inline]] inline typename S::scalar largest(const typename S::vec& v) {
  typename S::vec high = v;
#pragma GCC unroll 4
  for (int distance = static_cast<int>(S::width) / 2; distance > 0; distance /= 2) {
    typename S::vec other = high;
    swap_halves<S>(other, distance);
    high = other > high ? other : high;
  }
  return high[0];
}

template <class S>
[[gnu::always_inline]] inline void splat(typename S::vec& v, typename S::scalar x) {
  v = x - typename S::vec{};
}

/// v := the square root of v >= 0. In float x / sqrt(x) by Newton's steps from a first guess in the bits: no vector
/// square root exists in the extensions, and a loop over std::sqrt keeps its error handling.
template <class S>
[[gnu::always_inline]] inline void sqrt(typename S::vec& v) {
  if constexpr (std::is_same_v<typename S::scalar, double>) {
    for (std::size_t i = 0; i < S::width; ++i) v[i] = std::sqrt(v[i]);
  } else {
    typename S::ivec bits;
    std::memcpy(&bits, &v, sizeof bits);
    bits = 0x5F3759DF - (bits >> 1);
    typename S::vec r;
    std::memcpy(&r, &bits, sizeof r);
    const typename S::vec half = v * 0.5f;
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) r = r * (1.5f - half * r * r);
    v *= r;
  }
}

/// v := e^v, 2 ulp in float (degree-6 polynomial, Cephes' coefficients); arguments below -87.3 give 0, above 88.3 are
/// cut.
template <class S>
[[gnu::always_inline]] inline void exp(typename S::vec& v) {
  if constexpr (std::is_same_v<typename S::scalar, double>) {
    for (std::size_t i = 0; i < S::width; ++i) v[i] = std::exp(v[i]);
  } else {
    using V = typename S::vec;
    using I = typename S::ivec;
    V x = v;
    const I zero_out = x < -87.3f;  // all bits set where the result is 0
    x = x < -87.3f ? V{} - 87.3f : x;
    x = x > 88.3f ? V{} + 88.3f : x;
    const V shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to nearest, the integer sits in the low bits
    const V whole = shifted - 12582912.0f;
    const V r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    V p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    I bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    I value;
    std::memcpy(&value, &p, sizeof value);
    value = (value + (bits << 23)) & ~zero_out;
    std::memcpy(&v, &value, sizeof value);
  }
}

}  // namespace detail::simd

}  // namespace v0
}  // namespace midigpt
