// The encoders again, as slow and as plain as the specification reads: strings, linear searches, no tables.
#pragma once

#include <cstdint>
#include <cstdio>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/utf8.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/normalizer.hpp>

namespace naive {

using namespace midigpt;

struct Vocabulary {
  explicit Vocabulary(const SpmModel& m) : model(m) {
    for (std::size_t i = 0; i < m.pieces.size(); ++i) {
      const SpmPiece& p = m.pieces[i];
      const auto id = static_cast<std::int32_t>(i);
      const bool reserved = p.type == PieceType::control || p.type == PieceType::unknown || p.type == PieceType::byte;
      (reserved ? meta : matchable)[p.piece] = id;
      if (p.type == PieceType::unknown) unk = id;
      if (p.type == PieceType::user_defined) defined.push_back(p.piece);
    }
  }

  [[nodiscard]] std::int32_t id(const std::string& text) const {
    if (const auto it = meta.find(text); it != meta.end()) return it->second;
    if (const auto it = matchable.find(text); it != matchable.end()) return it->second;
    return unk;
  }

  const SpmModel& model;
  std::map<std::string, std::int32_t> meta, matchable;
  std::vector<std::string> defined;
  std::int32_t unk = -1;
};

/// Characters, or user-defined symbols where one begins (the longest).
inline std::vector<std::pair<std::string, bool>> split(const Vocabulary& v, std::string_view text) {
  std::vector<std::pair<std::string, bool>> out;
  while (!text.empty()) {
    std::string best;
    for (const std::string& d : v.defined) {
      if (text.starts_with(d) && d.size() > best.size()) best = d;
    }
    const bool frozen = !best.empty();
    if (!frozen) best = std::string(text.substr(0, utf8_decode(text, 0).size));
    out.emplace_back(best, frozen);
    text.remove_prefix(best.size());
  }
  return out;
}

/// Ids of normalised text by a BPE model without UNUSED pieces: the whole list is searched before every merge.
inline std::vector<std::int32_t> bpe(const Vocabulary& v, std::string_view normalized) {
  auto symbols = split(v, normalized);
  for (;;) {
    std::size_t at = symbols.size();
    float best = 0.0f;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      if (symbols[i].second || symbols[i + 1].second) continue;
      const auto it = v.matchable.find(symbols[i].first + symbols[i + 1].first);
      if (it == v.matchable.end()) continue;
      const float score = v.model.pieces[static_cast<std::size_t>(it->second)].score;
      if (at == symbols.size() || score > best) {
        best = score;
        at = i;
      }
    }
    if (at == symbols.size()) break;
    symbols[at].first += symbols[at + 1].first;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  std::vector<std::int32_t> ids;
  bool after_unknown = false;
  for (const auto& [text, frozen] : symbols) {
    const std::int32_t id = v.id(text);
    if (id == v.unk && v.model.trainer.byte_fallback) {
      for (const char c : text) {
        char name[8];
        std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(static_cast<unsigned char>(c)));
        ids.push_back(v.id(name));
      }
    } else if (id != v.unk || !after_unknown) {
      ids.push_back(id);
    }
    after_unknown = id == v.unk;
  }
  return ids;
}

/// Ids of normalised text by a unigram model: the best path by trying every piece at every place.
inline std::vector<std::int32_t> unigram(const Vocabulary& v, std::string_view normalized) {
  float lowest = std::numeric_limits<float>::max(), highest = std::numeric_limits<float>::min();
  for (const SpmPiece& p : v.model.pieces) {
    if (p.type != PieceType::normal) continue;
    lowest = p.score < lowest ? p.score : lowest;
    highest = p.score > highest ? p.score : highest;
  }
  struct Best {
    std::int32_t id = -1;
    std::size_t begin = 0;
    float score = 0.0f;
  };
  std::vector<Best> best(normalized.size() + 1);
  for (std::size_t at = 0; at < normalized.size(); at += utf8_decode(normalized, at).size) {
    const std::size_t one = utf8_decode(normalized, at).size;
    bool single = false;
    for (const auto& [text, id] : v.matchable) {
      const PieceType type = v.model.pieces[static_cast<std::size_t>(id)].type;
      if (type == PieceType::unused || !normalized.substr(at).starts_with(text)) continue;
      double score = static_cast<double>(v.model.pieces[static_cast<std::size_t>(id)].score);
      if (type == PieceType::user_defined) score = static_cast<double>(static_cast<float>(text.size()) * highest) - 0.1;
      Best& b = best[at + text.size()];
      if (b.id < 0 || score + static_cast<double>(best[at].score) > static_cast<double>(b.score)) {
        b = {id, at, static_cast<float>(score + static_cast<double>(best[at].score))};
      }
      single = single || text.size() == one;
    }
    Best& b = best[at + one];
    const float unknown = lowest - 10.0f + best[at].score;
    if (!single && (b.id < 0 || unknown > b.score)) b = {v.unk, at, unknown};
  }
  std::vector<std::int32_t> reversed;
  for (std::size_t end = normalized.size(); end > 0; end = best[end].begin) {
    if (best[end].id != v.unk || reversed.empty() || reversed.back() != v.unk) reversed.push_back(best[end].id);
  }
  return {reversed.rbegin(), reversed.rend()};
}

}  // namespace naive
