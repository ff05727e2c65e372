// lstm_melody [--author] [SECONDS [FOLDER]]: version 1's idea. Notes -> fields -> LSTM -> new notes, in out/.
//   SECONDS of one core go into training; without a folder it learns from melodies of its own making. The held-out figure is
//   the mean over every fourth held-out note with 25 notes before it: bits for step, pitch, duration and velocity together.
//   With --author it is the net of the first program (pitch, step and duration as numbers, one velocity, Adam without clipping,
//   its own pitches read back as it did) and the figures are that net's losses.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/codec/text.hpp>
#include <midigpt/codec/theremin.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/midi/write.hpp>
#include <midigpt/nn/lstm.hpp>
#include <midigpt/pipeline/corpus.hpp>
#include <midigpt/train/optimizer.hpp>

using namespace midigpt;

namespace {

constexpr std::size_t k_fields = 4, k_window = 25, k_values = k_fields * (k_window + 1);
using Fields = std::vector<std::int32_t>;  // of one piece's notes: step, pitch, duration, velocity

Fields fields_of(const Piece& piece) {
  Fields fields;
  for (const char32_t c : utf8_code_points(piece.text)) {
    const NoteBits n = PackedNote::unpack(c);
    fields.insert(fields.end(), {n.step, n.pitch, n.duration, n.velocity});
  }
  return fields;
}

/// B windows drawn inside pieces, none across two.
Fields windows(const std::vector<Fields>& pieces, std::size_t B, Rng& rng) {
  Fields out;
  for (std::size_t b = 0; b < B; ++b) {
    const Fields& piece = pieces[rng.below(static_cast<std::uint32_t>(pieces.size()))];
    const auto places = static_cast<std::uint32_t>((piece.size() - k_values) / k_fields + 1);
    const auto at = piece.begin() + static_cast<std::ptrdiff_t>(k_fields * rng.below(places));
    out.insert(out.end(), at, at + static_cast<std::ptrdiff_t>(k_values));
  }
  return out;
}

double held_out_bits(FieldLstm<float>& model, Tape<float>& tape, const std::vector<Fields>& pieces) {
  Loss sum;
  Fields batch;
  const auto judge = [&] {
    const Loss loss = model.loss(batch, tape);
    sum.nats += loss.nats;
    sum.count += loss.count;
    batch.clear();
  };
  for (const Fields& piece : pieces) {
    for (std::size_t at = 0; at + k_values <= piece.size(); at += 4 * k_fields) {
      batch.insert(batch.end(), piece.begin() + static_cast<std::ptrdiff_t>(at), piece.begin() + static_cast<std::ptrdiff_t>(at + k_values));
      if (batch.size() == 256 * k_values) judge();
    }
  }
  if (!batch.empty()) judge();
  return sum.mean() / std::log(2.0);
}

/// The units of a character's step and duration, in seconds.
constexpr SecondsGrid k_grid;
constexpr float k_step = static_cast<float>(k_grid.step_num) / static_cast<float>(k_grid.step_den);
constexpr float k_duration = static_cast<float>(k_grid.duration_num) / static_cast<float>(k_grid.duration_den);

/// What the author's net sees: seconds.
std::vector<LstmNote> seconds_of(const Fields& fields) {
  std::vector<LstmNote> notes;
  for (std::size_t i = 0; i < fields.size(); i += k_fields) {
    notes.push_back({static_cast<float>(fields[i + 1]), k_step * static_cast<float>(fields[i]), k_duration * static_cast<float>(fields[i + 2])});
  }
  return notes;
}

/// The other way, to the nearest that a character can say.
void append(Fields& fields, const LstmNote& n) {
  const auto nearest = [](float x, int low, int high) { return static_cast<std::int32_t>(std::lround(std::clamp(x, static_cast<float>(low), static_cast<float>(high)))); };
  fields.insert(fields.end(), {nearest(n.step / k_step, 0, 63), nearest(n.pitch, 0, 127), nearest(n.duration / k_duration, 1, 31), 2});
}

void write(const Fields& notes, const char* path) {
  std::string text;
  for (std::size_t i = 0; i < notes.size(); i += k_fields) {
    utf8_append(text, PackedNote::pack({(std::max)(1, notes[i + 3]), notes[i], notes[i + 2], notes[i + 1]}));
  }
  std::filesystem::create_directories("out");
  write_midi(path, from_text(text, CodecKind::theremin)).value();
}

double core_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// The first program's net and training; 120 notes at temperature 2, as it made them.
void author(const std::vector<Fields>& train, const std::vector<Fields>& held_out, double seconds) {
  NoteLstm<float> model({.v1_compat = true});
  model.init(1);
  AdamW<float> optimizer(model.parameters(), {.beta2 = 0.999, .eps = 1e-7, .weight_decay = 0.0});
  ThreadPool pool(1);
  Tape<float> tape;
  Rng rng(2), held_out_rng(3);
  const std::vector<LstmNote> judged = seconds_of(windows(held_out, 256, held_out_rng));
  const auto judge = [&](const char* when, double spent) {
    const auto loss = model.loss_and_gradients(judged, tape);
    std::printf("%s %5.1f s   held out: pitch %.3f, step %.4f, duration %.4f, weighted %.4f\n", when, spent, loss.pitch, loss.step, loss.duration, loss.total);
  };
  double spent = 0;
  judge("start  ", spent);
  while (spent < seconds) {
    const double start = core_seconds();
    (void)model.loss_and_gradients(seconds_of(windows(train, 64, rng)), tape);
    optimizer.step(0.005, 1.0, pool);
    spent += core_seconds() - start;
  }
  judge("trained", spent);
  Fields notes(held_out[0].begin(), held_out[0].begin() + static_cast<std::ptrdiff_t>(k_fields * k_window));
  for (const LstmNote& n : model.generate(seconds_of(notes), 120, 2.0, 1)) append(notes, n);
  write(notes, "out/lstm_author.mid");
  std::printf("out/lstm_author.mid: 25 notes given, 120 made\n");
}

}  // namespace

int main(int argc, char** argv) {
  const bool by_author = argc > 1 && std::string_view(argv[1]) == "--author";
  if (by_author) ++argv, --argc;
  const double seconds = argc > 1 ? std::atof(argv[1]) : 30;
  Corpus corpus;
  if (argc > 2) {
    const auto files = find_midi_files(argv[2]);
    if (!files) return std::fprintf(stderr, "lstm_melody: %s\n", describe(files.error()).c_str()), 1;
    corpus = corpus_from_files(*files, {.codec = CodecKind::theremin});
  } else {
    corpus = corpus_from_generator(300, 1, {.bars = 16, .style = DiceStyle::melody}, {.codec = CodecKind::theremin});
  }
  for (const SkippedFile& s : corpus.skipped) std::fprintf(stderr, "skipped %s: %s\n", s.name.c_str(), s.reason.c_str());
  std::fprintf(stderr, "%s\n", summary(corpus).c_str());
  std::vector<Fields> train, held_out;
  for (const Piece& p : corpus.pieces) {
    Fields fields = fields_of(p);
    if (fields.size() >= k_values) (p.held_out ? held_out : train).push_back(std::move(fields));
  }
  if (train.empty() || held_out.empty()) return std::fprintf(stderr, "lstm_melody: too few pieces of more than 25 notes\n"), 1;

  if (by_author) return author(train, held_out, seconds), 0;

  FieldLstm<float> model;
  model.init(1);
  AdamW<float> optimizer(model.parameters(), {.beta2 = 0.999, .weight_decay = 0.0});
  ThreadPool pool(1);
  Tape<float> tape;
  Rng rng(2);
  double spent = 0;
  for (int step = 0; spent < seconds; ++step) {
    if (step % 1000 == 0) std::printf("step %5d   %5.1f s   held out %.2f bits per note\n", step, spent, held_out_bits(model, tape, held_out));
    const double start = core_seconds();
    (void)model.loss_and_gradients(windows(train, 64, rng), tape);
    const double rate = 0.005 * (1 - 0.9 * spent / seconds);
    optimizer.step(rate, (std::min)(1.0, 1.0 / optimizer.grad_norm(pool)), pool);  // gradients clipped at norm 1
    spent += core_seconds() - start;
  }
  std::printf("trained %.1f s   held out %.3f bits per note\n", spent, held_out_bits(model, tape, held_out));

  Fields notes(held_out[0].begin(), held_out[0].begin() + static_cast<std::ptrdiff_t>(k_fields * k_window));
  const double before = core_seconds();
  for (int i = 0; i < 100; ++i) {
    const auto next = model.next(std::span(notes).last(k_fields * k_window), 0.9, rng, tape);
    notes.insert(notes.end(), next.begin(), next.end());
  }
  const double rate = 100 / (core_seconds() - before);
  write(notes, "out/lstm_melody.mid");
  std::printf("out/lstm_melody.mid: 25 notes given, 100 made, %.0f notes a second\n", rate);
}
