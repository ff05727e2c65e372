// Against PyTorch's numbers in tests/golden, or those that tests/peers/torch_*.py have just made.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/nn/gpt.hpp>
#include <midigpt/nn/lstm.hpp>

#include <support/worst.hpp>
#include <tensor/shared.hpp>

using namespace midigpt;

namespace {

double number(std::uint64_t r) { return static_cast<double>(r >> 40) * 0x1p-24 - 0.5; }

Gpt<float> golden_model() {
  Gpt<float> model(*gpt_preset("nano", 67, 16));
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    auto& p = model.parameters()[i];
    const Rng rng(1, i);
    const double middle = !p.decay && p.name.ends_with("weight") ? 1.0 : 0.0;
    for (std::size_t k = 0; k < p.value.size(); ++k) p.value[k] = static_cast<float>(0.2 * number(rng.at(k)) + middle);
  }
  return model;
}

std::vector<float> golden_numbers(const char* variable, const std::string& name) {
  const char* live = std::getenv(variable);
  const Bytes bytes = read_file(live != nullptr ? live : MIDIGPT_SOURCE_DIR "/tests/golden/" + name).value();
  std::vector<float> x(bytes.size() / 4);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::bit_cast<float>(load_le<std::uint32_t>(bytes.data() + 4 * i));
  return x;
}

}  // namespace

TEST_CASE("torch: gpt-nano has PyTorch's logits, gradients and ten AdamW losses") {
  constexpr std::size_t B = 4, T = 16, V = 67;
  const std::vector<float> golden = golden_numbers("MIDIGPT_GOLDEN_GPT", "gpt_nano.bin");
  std::vector<std::int32_t> ids(B * T), targets(B * T);
  const Rng id_rng(2, 0), target_rng(2, 1);
  for (std::size_t i = 0; i < B * T; ++i) {
    ids[i] = static_cast<std::int32_t>(id_rng.at(i) % V);
    targets[i] = target_rng.at(i) % 10 == 0 ? -1 : static_cast<std::int32_t>(target_rng.at(i) % V);
  }
  each_isa([&](Isa isa) {
    Gpt<float> model = golden_model();
    REQUIRE(golden.size() == B * T * V + model.parameter_count() + 10);
    ThreadPool pool(2);
    GptWorkspace<float> workspace({.isa = isa});
    std::vector<float> logits(B * T * V);
    model.logits(ids, B, T, std::span<float>(logits), workspace, pool);
    Worst worst;
    for (std::size_t i = 0; i < logits.size(); ++i)
      worst(std::abs(static_cast<double>(logits[i]) - static_cast<double>(golden[i])));
    CHECK(worst.error <= 1e-5);

    std::vector<std::vector<float>> m, v;
    const float* want = golden.data() + logits.size();
    const float* losses = golden.data() + golden.size() - 10;
    for (int step = 1; step <= 10; ++step) {
      const double loss = model.loss_and_gradients({ids, targets, B, T}, workspace, pool).mean();
      CHECK(std::abs(loss - static_cast<double>(losses[step - 1])) <= 1e-4);
      for (std::size_t k = 0; k < model.parameters().size(); ++k) {
        auto& p = model.parameters()[k];
        if (step == 1) {
          double difference = 0, norm = 0;
          for (std::size_t i = 0; i < p.grad.size(); ++i, ++want) {
            // the slope of a key's bias is zero in theory: softmax does not see what all scores share
            const bool key_bias = p.name.ends_with("c_attn.bias") && i / 48 == 1;
            const double d = static_cast<double>(p.grad[i]) - static_cast<double>(*want);
            if (key_bias)
              CHECK(std::abs(d) <= 1e-8);
            else
              difference += d * d;
            norm += static_cast<double>(*want) * static_cast<double>(*want);
          }
          CAPTURE(p.name);
          CHECK(std::sqrt(difference) <= 1e-5 * std::sqrt(norm));
          m.emplace_back(p.value.size());
          v.emplace_back(p.value.size());
        }
        const AdamwScale<float> scale{.lr = 1e-3f,
                                      .beta2 = 0.95f,
                                      .weight_decay = p.decay ? 0.1f : 0.0f,
                                      .bias_correction1 = static_cast<float>(1 - std::pow(0.9, step)),
                                      .bias_correction2 = static_cast<float>(1 - std::pow(0.95, step))};
        adamw_update<float>(p.value.span(), p.grad.span(), m[k], v[k], scale, isa);
      }
    }
  });
}

TEST_CASE("torch: the author's LSTM has PyTorch's losses over five Adam steps") {
  const std::vector<float> golden = golden_numbers("MIDIGPT_GOLDEN_LSTM", "lstm_v1.bin");
  REQUIRE(golden.size() == 5);
  NoteLstm<float> model;
  std::vector<std::vector<float>> m, v;
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    auto& p = model.parameters()[i];
    const Rng rng(1, i);
    for (std::size_t k = 0; k < p.value.size(); ++k) p.value[k] = static_cast<float>(0.2 * number(rng.at(k)));
    m.emplace_back(p.value.size());
    v.emplace_back(p.value.size());
  }
  std::vector<LstmNote> notes(16 * 26);
  const Rng rng(2, 0);
  for (std::size_t i = 0; i < notes.size(); ++i) {
    const std::uint64_t r = rng.at(i);
    notes[i] = {static_cast<float>(r % 128), static_cast<float>(r >> 8 & 1023) / 1024.0f,
                static_cast<float>(r >> 20 & 2047) / 1024.0f};
  }
  Tape<float> tape;
  for (int step = 1; step <= 5; ++step) {
    const double loss = model.loss_and_gradients(notes, tape).total;
    CHECK(std::abs(loss - static_cast<double>(golden[static_cast<std::size_t>(step) - 1])) <= 1e-4);
    for (std::size_t i = 0; i < m.size(); ++i) {
      auto& p = model.parameters()[i];
      adamw_update<float>(p.value.span(), p.grad.span(), m[i], v[i],
                          {.lr = 0.005f,
                           .eps = 1e-7f,
                           .bias_correction1 = static_cast<float>(1 - std::pow(0.9, step)),
                           .bias_correction2 = static_cast<float>(1 - std::pow(0.999, step))});
    }
  }
}
