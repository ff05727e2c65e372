// midigpt_step L H C V T B THREADS [STEPS]: training steps (AdamW) on random tokens; prints one line of JSON.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <new>
#include <vector>

#include <midigpt/nn/gpt.hpp>

namespace {
std::atomic<std::size_t> heap_calls{0};

void* counted(std::size_t size, std::size_t alignment) {
  heap_calls.fetch_add(1, std::memory_order_relaxed);
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  if (void* p = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded)) return p;
  throw std::bad_alloc();
}
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) { return counted(size, 16); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace {
double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}
}  // namespace

int main(int argc, char** argv) {
  using namespace midigpt;
  if (argc < 8) {
    std::fprintf(stderr, "usage: midigpt_step L H C V T B THREADS [STEPS]\n");
    return 2;
  }
  const auto arg = [&](int i) { return std::atoi(argv[i]); };
  const GptConfig config{
      .n_layer = arg(1), .n_head = arg(2), .n_embd = arg(3), .block_size = arg(5), .vocab_size = arg(4)};
  const auto T = static_cast<std::size_t>(arg(5)), B = static_cast<std::size_t>(arg(6));
  const int steps = argc > 8 ? arg(8) : 10;

  Gpt<float> model(config);
  model.init(1);
  ThreadPool pool(static_cast<std::size_t>(arg(7)));
  GptWorkspace<float> workspace;
  std::vector<Tensor<float>> m, v;
  for (const auto& p : model.parameters()) {
    m.emplace_back(p.value.shape());
    v.emplace_back(p.value.shape());
  }
  Rng rng(2);
  std::vector<std::int32_t> ids(B * T), targets(B * T);
  for (auto& x : ids) x = rng.between(0, config.vocab_size - 1);
  for (auto& x : targets) x = rng.between(0, config.vocab_size - 1);

  std::vector<double> wall, cpu;
  wall.reserve(static_cast<std::size_t>(steps));
  cpu.reserve(static_cast<std::size_t>(steps));
  std::size_t heap = 0;
  double last = 0;
  for (int step = 0; step <= steps; ++step) {  // the first one warms up
    const std::size_t heap_before = heap_calls;
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu_start = std::clock();
    last = model.loss_and_gradients({ids, targets, B, T}, workspace, pool).mean();
    const double t = step + 1;
    pool.run(model.parameters().size(), [&](std::size_t i, std::size_t) {
      auto& p = model.parameters()[i];
      const AdamwScale<float> scale{.lr = 3e-4f,
                                    .weight_decay = p.decay ? 0.1f : 0.0f,
                                    .bias_correction1 = static_cast<float>(1 - std::pow(0.9, t)),
                                    .bias_correction2 = static_cast<float>(1 - std::pow(0.999, t))};
      adamw_update<float>(p.value.span(), p.grad.span(), m[i].span(), v[i].span(), scale);
    });
    if (step == 0) continue;
    wall.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    cpu.push_back(1e3 * static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC);
    heap += heap_calls - heap_before;
    if (!std::isfinite(last)) return 1;
  }
  const double tokens = static_cast<double>(B * T), L = config.n_layer, C = config.n_embd, V = config.vocab_size;
  const double flops = tokens * (6 * (12 * L * C * C + V * C) + 6 * L * C * static_cast<double>(T));
  const double ms = median(wall);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "{\"ms\": %.2f, \"min_ms\": %.2f, \"cpu_ms\": %.2f, \"min_cpu_ms\": %.2f, \"tokens_per_s\": %.0f, \"gflops\": "
      "%.1f, \"rss_mb\": %.1f, "
      "\"heap_calls\": %zu, \"loss\": %.5f, \"isa\": \"%s\"}\n",
      ms, *std::min_element(wall.begin(), wall.end()), median(cpu), *std::min_element(cpu.begin(), cpu.end()),
      tokens / ms * 1e3, flops / ms / 1e6, static_cast<double>(usage.ru_maxrss) / 1024, heap, last,
      isa_name(best_isa()));
}
