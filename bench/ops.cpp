// The product beside Eigen's, and the kernels around it: GFLOP/s and GB/s, one thread.
#include <benchmark/benchmark.h>

#include <midigpt/core/rng.hpp>
#include <midigpt/tensor/attention.hpp>
#include <midigpt/tensor/gemm.hpp>
#include <midigpt/tensor/kernels.hpp>

using namespace midigpt;

namespace {

Tensor<float> random_tensor(const Shape& shape) {
  Tensor<float> x(shape);
  Rng rng(1);
  for (float& v : x.span()) v = static_cast<float>(rng.uniform() - 0.5);
  return x;
}

/// M, N, K, and whether the left factor is transposed (the gradient of a weight).
template <class Product>
void product(benchmark::State& state) {
  const auto M = static_cast<std::size_t>(state.range(0)), N = static_cast<std::size_t>(state.range(1)),
             K = static_cast<std::size_t>(state.range(2));
  const bool transposed = state.range(3) != 0;
  const Isa isa = best_isa();
  const auto a = random_tensor({M, K}), b = random_tensor({K, N});
  auto c = random_tensor({M, N});
  Rhs<float> right{.data = b.data(), .ld = N, .transposed = false, .K = K, .N = N};
  detail::AlignedBuffer<float> panels(Product::template panel_size<float>(isa, K, N));
  Product::pack(isa, right, panels.data());
  const ProductArgs<float> left{
      .a = a.data(), .lda = transposed ? M : K, .transposed = transposed, .M = M, .c = c.data(), .ldc = N};
  for (auto _ : state) {
    Product::multiply(isa, left, right);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * static_cast<double>(M * N * K), benchmark::Counter::kIsIterationInvariantRate);
}

void shapes(benchmark::internal::Benchmark* b) {
  for (const std::int64_t C : {48, 128, 384, 768}) {
    for (const auto& [N, K] : {std::pair(3 * C, C), std::pair(C, C), std::pair(4 * C, C), std::pair(C, 4 * C)})
      b->Args({256, N, K, 0});
    b->Args({C, 4 * C, 256, 1});
  }
  b->Args({256, 256, 48, 0})
      ->Args({256, 2048, 128, 0})
      ->Args({256, 8192, 384, 0})
      ->Args({256, 256, 64, 0})
      ->Args({16, 1536, 384, 0});
}

/// What the peak of the multiply-add units is right now: the yardstick for the products above.
struct Peak {
  template <class S, class T>
  [[gnu::always_inline]] static void run(T* x, std::size_t steps) {
    using V = typename S::vec;
    constexpr std::size_t chains = S::width == 16 ? 24 : 12;
    V sum[chains];
    for (std::size_t k = 0; k < chains; ++k) sum[k] = V{} + static_cast<T>(k);  // apart, or they would be one
    const V left = *reinterpret_cast<const V*>(x);
    for (std::size_t i = 0; i < steps; ++i) {
      const V right = *reinterpret_cast<const V*>(x + i % 4 * S::width);
#pragma GCC unroll 24
      for (std::size_t k = 0; k < chains; ++k) sum[k] += left * right;
    }
    V total{};
    for (const V& s : sum) total += s;
    *reinterpret_cast<V*>(x) = total;
  }
};

void fma_peak(benchmark::State& state) {
  alignas(64) float x[64] = {};
  constexpr std::size_t steps = 100000;
  for (auto _ : state) {
    detail::simd_call<Peak, float>(best_isa(), &x[0], steps);
    benchmark::ClobberMemory();
  }
  const double width = static_cast<double>(detail::simd_width<float>(best_isa()));
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * steps * width * (width > 8 ? 24 : 12), benchmark::Counter::kIsIterationInvariantRate);
}

void pack(benchmark::State& state) {
  const auto N = static_cast<std::size_t>(state.range(0)), K = static_cast<std::size_t>(state.range(1));
  const auto b = random_tensor({K, N});
  Rhs<float> right{.data = b.data(), .ld = state.range(2) ? K : N, .transposed = state.range(2) != 0, .K = K, .N = N};
  detail::AlignedBuffer<float> panels(PackedProduct::panel_size<float>(best_isa(), K, N));
  for (auto _ : state) PackedProduct::pack(best_isa(), right, panels.data());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(4 * N * K));
}

void attention(benchmark::State& state) {
  const auto time = static_cast<std::size_t>(state.range(0)), hs = static_cast<std::size_t>(state.range(1));
  const bool backward = state.range(2) != 0;
  const auto qkv = random_tensor({time, 3 * hs}), dy = random_tensor({time, hs});
  auto y = random_tensor({time, hs}), d = random_tensor({time, 3 * hs}), sums = random_tensor({time}),
       scratch = random_tensor({attention_scratch(time, hs)});
  AttentionArgs<float> args{.time = time,
                            .hs = hs,
                            .ld = 3 * hs,
                            .y_ld = hs,
                            .q = qkv.data(),
                            .k = qkv.data() + hs,
                            .v = qkv.data() + 2 * hs};
  args.y = y.data();
  args.log_sums = sums.data();
  args.scratch = scratch.data();
  args.dy = dy.data();
  args.dq = d.data();
  args.dk = d.data() + hs;
  args.dv = d.data() + 2 * hs;
  attention_forward(args);
  for (auto _ : state) {
    if (backward)
      attention_backward(args);
    else
      attention_forward(args);
    benchmark::ClobberMemory();
  }
  const double products = backward ? 5 : 2;  // of T x T / 2 x hs
  state.counters["GFLOP/s"] = benchmark::Counter(1e-9 * products * static_cast<double>(time * time * hs),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

void gelu(benchmark::State& state) {
  const auto x = random_tensor({256, 512});
  auto y = x;
  for (auto _ : state) {
    detail::simd_call<detail::kernels::GeluForward, float>(best_isa(), x.size(), x.data(), y.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(x.size()));
}

void adamw(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  auto value = random_tensor({n}), m = random_tensor({n}), v = random_tensor({n});
  const auto grad = random_tensor({n});
  v.fill(1);
  for (auto _ : state) adamw_update<float>(value.span(), grad.span(), m.span(), v.span(), {});
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(n));
}

}  // namespace

BENCHMARK(fma_peak)->Name("maths/fma_peak");
BENCHMARK(product<PackedProduct>)->Name("maths/product")->Apply(shapes);
BENCHMARK(product<EigenProduct>)->Name("maths/product_eigen")->Apply(shapes);
BENCHMARK(pack)->Name("maths/pack")->ArgsProduct({{512}, {128}, {0, 1}});
BENCHMARK(attention)->Name("maths/attention")->ArgsProduct({{128, 256}, {16, 32, 64}, {0, 1}});
BENCHMARK(gelu)->Name("maths/gelu");
BENCHMARK(adamw)->Name("maths/adamw")->Arg(1 << 14)->Arg(1 << 22);
