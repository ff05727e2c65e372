// train/dataset.hpp - ids -> windows -> Batch (B, T). Knows no text: ids only.
//   Row n of training is a pure function of (ids, options, n): who knows the step number can go on where a run stopped.
//   - Packing::packed: all pieces in one ring, BOS piece EOS BOS piece EOS...; windows of T cut from a new offset and
//     visited in a new order each epoch
//   - Packing::lines: one row per piece: its first `line_length` ids, padded; the author's layout
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/rng.hpp>

namespace midigpt {
inline namespace v0 {

/// A label that no loss counts.
inline constexpr std::int32_t k_ignore = -1;

/// Pieces of ids, back to back in one array.
struct IdPieces {
  std::vector<std::int32_t> ids;
  std::vector<std::size_t> ends;  // piece i is ids[ends[i - 1]..ends[i])

  void add(std::span<const std::int32_t> piece) {
    ids.insert(ids.end(), piece.begin(), piece.end());
    ends.push_back(ids.size());
  }
  [[nodiscard]] std::size_t size() const noexcept { return ends.size(); }
  [[nodiscard]] std::span<const std::int32_t> operator[](std::size_t i) const noexcept {
    const std::size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::span(ids).subspan(begin, ends[i] - begin);
  }
  friend bool operator==(const IdPieces&, const IdPieces&) = default;
};

/// A hash of the ids and of where pieces end: names a corpus in a checkpoint.
[[nodiscard]] inline std::uint64_t hash_pieces(const IdPieces& pieces) noexcept {
  std::uint64_t h = mix64(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    h = mix64(h ^ pieces[i].size());
    for (const std::int32_t id : pieces[i]) h = mix64(h ^ static_cast<std::uint32_t>(id));
  }
  return h;
}

/// B rows of T inputs and T targets, row-major; targets[t] is what follows tokens[t], or k_ignore.
struct Batch {
  int B = 0, T = 0;
  std::vector<std::int32_t> tokens, targets;

  void resize(int rows, int length) {
    B = rows;
    T = length;
    const auto n = static_cast<std::size_t>(rows) * static_cast<std::size_t>(length);
    tokens.resize(n);
    targets.resize(n);
  }
};

enum class Packing : std::uint8_t { packed, lines };

[[nodiscard]] constexpr std::string_view packing_name(Packing p) noexcept {
  return p == Packing::lines ? "lines" : "packed";
}

[[nodiscard]] constexpr std::optional<Packing> packing_from_name(std::string_view name) noexcept {
  for (const Packing p : {Packing::packed, Packing::lines}) {
    if (packing_name(p) == name) return p;
  }
  return std::nullopt;
}

struct DatasetOptions {
  Packing packing = Packing::packed;
  int block_size = 256;           // T of a packed window
  std::int32_t bos_id = -1;       // -1: none is put before a piece
  std::int32_t eos_id = -1;       // -1: none is put after a piece
  std::int32_t pad_id = 0;        // fills short lines
  int line_length = 32;           // ids of a line; T is one less
  bool score_padding = false;     // learn the padding too, as the author did
  bool with_replacement = false;  // draw rows independently instead of by epochs
  std::uint64_t seed = 1;
};

/// The author's data set: the first 32 ids of each line, no BOS or EOS, padding learnt, drawn with replacement.
[[nodiscard]] inline DatasetOptions author_dataset(std::int32_t pad_id = 0, std::uint64_t seed = 1) {
  return {.packing = Packing::lines, .pad_id = pad_id, .score_padding = true, .with_replacement = true, .seed = seed};
}

class Dataset {
 public:
  /// Requires: block_size >= 1, line_length >= 2. Without any id the data set is empty() and gives no batch.
  explicit Dataset(const IdPieces& pieces, const DatasetOptions& options = {})
      : options_(options), hash_(hash_pieces(pieces)) {
    const auto line = static_cast<std::size_t>(options.line_length);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const auto piece = pieces[i];
      if (piece.empty()) continue;
      if (options.bos_id >= 0) ring_.push_back(options.bos_id);
      ring_.insert(ring_.end(), piece.begin(), piece.end());
      if (options.eos_id >= 0) ring_.push_back(options.eos_id);
      if (options.packing == Packing::packed) continue;
      const std::size_t begin = lengths_.size() * line;
      lengths_.push_back((std::min)(ring_.size() - begin, line));
      ring_.resize(begin + line, options.pad_id);
    }
    const std::size_t T = static_cast<std::size_t>(options.block_size);
    rows_ = options.packing == Packing::lines ? lengths_.size() : ring_.size() < 2 ? 0 : (ring_.size() + T - 1) / T;
  }

  [[nodiscard]] bool empty() const noexcept { return rows_ == 0; }
  [[nodiscard]] std::size_t rows_per_epoch() const noexcept { return rows_; }
  [[nodiscard]] int length() const noexcept {  // T
    return options_.packing == Packing::lines ? options_.line_length - 1 : options_.block_size;
  }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }
  [[nodiscard]] const DatasetOptions& options() const noexcept { return options_; }

  /// Rows step * B .. step * B + B - 1 of training. Allocates nothing once `out` has its size. Requires: !empty().
  void fill(std::uint64_t step, int B, Batch& out) {
    out.resize(B, length());
    for (int b = 0; b < B; ++b) {
      const std::size_t at = static_cast<std::size_t>(b) * static_cast<std::size_t>(out.T);
      const std::span<std::int32_t> x = std::span(out.tokens).subspan(at, static_cast<std::size_t>(out.T));
      const std::span<std::int32_t> y = std::span(out.targets).subspan(at, static_cast<std::size_t>(out.T));
      const std::uint64_t n = step * static_cast<std::uint64_t>(B) + static_cast<std::uint64_t>(b);
      const std::size_t row = pick(n);
      if (options_.packing == Packing::lines) {
        line(row, x, y);
      } else {
        window(row, x, y);
      }
    }
  }

 private:
  /// Which row is the n-th of training; remembers the order of n's epoch.
  [[nodiscard]] std::size_t pick(std::uint64_t n) {
    constexpr std::uint64_t k_order = 0x6F72646572u << 8, k_draw = 0x64726177u;  // streams
    const std::uint64_t epoch = n / rows_;
    if (options_.with_replacement) {
      Rng rng(options_.seed, k_draw);
      rng.seek(n);  // below() moves on by one, rarely by two: then two rows share a draw, which harms nothing
      return rng.below(static_cast<std::uint32_t>(rows_));
    }
    if (order_.empty() || epoch != epoch_) {
      order_.resize(rows_);
      for (std::size_t i = 0; i < rows_; ++i) order_[i] = static_cast<std::uint32_t>(i);
      Rng rng(options_.seed, k_order + epoch);
      rng.shuffle(std::span(order_));
      offset_ = rng.below(static_cast<std::uint32_t>(options_.block_size));
      epoch_ = epoch;
    }
    return order_[static_cast<std::size_t>(n % rows_)];
  }

  void window(std::size_t row, std::span<std::int32_t> x, std::span<std::int32_t> y) const {
    std::size_t at = (row * x.size() + offset_) % ring_.size();
    for (std::size_t t = 0; t < x.size(); ++t) {
      x[t] = ring_[at];
      at = at + 1 == ring_.size() ? 0 : at + 1;
      const bool boundary = ring_[at] == options_.bos_id || (options_.bos_id < 0 && options_.eos_id < 0 && at == 0);
      y[t] = boundary ? k_ignore : ring_[at];  // which piece comes next is nobody's to guess
    }
  }

  void line(std::size_t row, std::span<std::int32_t> x, std::span<std::int32_t> y) const {
    const std::size_t begin = row * static_cast<std::size_t>(options_.line_length);
    for (std::size_t t = 0; t < x.size(); ++t) {
      x[t] = ring_[begin + t];
      y[t] = t + 1 < lengths_[row] || options_.score_padding ? ring_[begin + t + 1] : k_ignore;
    }
  }

  DatasetOptions options_;
  std::vector<std::int32_t> ring_;    // packed: the ring; lines: rows of line_length
  std::vector<std::size_t> lengths_;  // lines: ids before the padding
  std::vector<std::uint32_t> order_;  // of the current epoch
  std::size_t rows_ = 0, offset_ = 0;
  std::uint64_t epoch_ = 0, hash_ = 0;
};

/// One stretch of a held-out piece. A model reads tokens[0..n-1) and is scored on tokens[first_scored..n); what stands
/// before tokens[0] is unknown to it. Every model of a comparison gets the same windows.
struct EvalWindow {
  std::span<const std::int32_t> tokens;
  std::size_t first_scored = 1;
};

/// The held-out pieces as sequences BOS piece EOS, and the windows that score each of their tokens but BOS exactly
/// once. A window is T + 1 tokens; the next begins `stride` later, so a scored token sees at least T - stride tokens,
/// or all there are.
class EvalSet {
 public:
  /// stride 0 means T / 2. Requires: 1 <= stride <= T. Without a BOS the first token of a piece is context only.
  EvalSet(const IdPieces& pieces, int block_size, std::int32_t bos_id, std::int32_t eos_id, int stride = 0) {
    const auto T = static_cast<std::size_t>(block_size);
    const std::size_t hop = stride > 0 ? static_cast<std::size_t>(stride) : (std::max)(T / 2, std::size_t{1});
    std::vector<std::size_t> begins;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      begins.push_back(tokens_.size());
      if (bos_id >= 0) tokens_.push_back(bos_id);
      tokens_.insert(tokens_.end(), pieces[i].begin(), pieces[i].end());
      if (eos_id >= 0) tokens_.push_back(eos_id);
    }
    begins.push_back(tokens_.size());
    for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
      const auto sequence = std::span<const std::int32_t>(tokens_).subspan(begins[i], begins[i + 1] - begins[i]);
      std::size_t scored = 1;
      for (std::size_t start = 0; scored < sequence.size(); start += hop) {
        const std::size_t n = (std::min)(T + 1, sequence.size() - start);
        windows_.push_back({sequence.subspan(start, n), scored - start});
        count_ += start + n - scored;
        scored = start + n;
      }
    }
  }
  EvalSet(EvalSet&&) = default;  // windows look into the heap block that moves along
  EvalSet& operator=(EvalSet&&) = default;
  EvalSet(const EvalSet&) = delete;
  EvalSet& operator=(const EvalSet&) = delete;

  [[nodiscard]] std::span<const EvalWindow> windows() const noexcept { return windows_; }
  /// Tokens scored: all but the BOS of each piece.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

 private:
  std::vector<std::int32_t> tokens_;
  std::vector<EvalWindow> windows_;
  std::uint64_t count_ = 0;
};

}  // namespace v0
}  // namespace midigpt
