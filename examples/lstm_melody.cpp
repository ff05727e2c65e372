// lstm_melody [STEPS]: version 1's idea on melodies of its own making. Notes -> fields -> LSTM -> a new melody, in
// out/.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <midigpt/codec/text.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/midi/procedural.hpp>
#include <midigpt/midi/write.hpp>
#include <midigpt/nn/lstm.hpp>
#include <midigpt/train/optimizer.hpp>

using namespace midigpt;

namespace {

constexpr std::size_t k_fields = 4, k_window = 25;

/// The fields of one melody's notes: step, pitch, duration, velocity.
std::vector<std::int32_t> melody(std::uint64_t seed) {
  const Score score = dice({.seed = seed, .bars = 16, .style = DiceStyle::melody});
  std::vector<std::int32_t> fields;
  for (const char32_t c : utf8_code_points(to_text(score, CodecKind::theremin))) {
    const NoteBits n = PackedNote::unpack(c);
    fields.insert(fields.end(), {n.step, n.pitch, n.duration, n.velocity});
  }
  return fields;
}

/// B windows drawn inside melodies, none across two.
std::vector<std::int32_t> windows(const std::vector<std::vector<std::int32_t>>& melodies, std::size_t B, Rng& rng) {
  std::vector<std::int32_t> out;
  for (std::size_t b = 0; b < B; ++b) {
    const auto& m = melodies[rng.below(static_cast<std::uint32_t>(melodies.size()))];
    const std::size_t places = m.size() / k_fields - k_window;
    const auto at = static_cast<std::ptrdiff_t>(k_fields * rng.below(static_cast<std::uint32_t>(places)));
    out.insert(out.end(), m.begin() + at, m.begin() + at + static_cast<std::ptrdiff_t>(k_fields * (k_window + 1)));
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 400;
  std::vector<std::vector<std::int32_t>> train, held_out;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    auto fields = melody(seed);
    if (fields.size() <= k_fields * (k_window + 1)) continue;
    (seed % 10 == 0 ? held_out : train).push_back(std::move(fields));
  }
  FieldLstm<float> model;
  model.init(1);
  AdamW<float> optimizer(model.parameters(), {.beta2 = 0.999, .weight_decay = 0.0});
  ThreadPool pool;
  Rng rng(2), test_rng(3);
  const auto test = windows(held_out, 256, test_rng);
  const auto bits = [](const Loss& loss) { return loss.mean() / std::log(2.0); };
  for (int step = 0; step <= steps; ++step) {
    if (step % 100 == 0) std::printf("step %4d   held out %.2f bits per note\n", step, bits(model.loss(test)));
    (void)model.loss_and_gradients(windows(train, 64, rng));
    optimizer.step(0.005, (std::min)(1.0, 1.0 / optimizer.grad_norm(pool)), pool);  // gradients clipped at norm 1
  }

  const auto& prompt = held_out[0];
  std::vector<std::int32_t> notes(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(k_fields * k_window));
  for (int i = 0; i < 100; ++i) {
    const auto next = model.next(std::span(notes).last(k_fields * k_window), 0.9, rng);
    notes.insert(notes.end(), next.begin(), next.end());
  }
  std::string text;
  for (std::size_t i = 0; i < notes.size(); i += k_fields) {
    utf8_append(text, PackedNote::pack({(std::max)(1, notes[i + 3]), notes[i], notes[i + 2], notes[i + 1]}));
  }
  std::filesystem::create_directories("out");
  write_midi("out/lstm_melody.mid", from_text(text, CodecKind::theremin)).value();
  std::printf("out/lstm_melody.mid: 25 notes given, 100 made\n");
}
