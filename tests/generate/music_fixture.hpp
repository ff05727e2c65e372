// A small vocabulary with byte pieces for each codec, trained on generated music; made once per codec.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/codec/text.hpp>
#include <midigpt/midi/procedural.hpp>
#include <midigpt/token/bpe_trainer.hpp>
#include <midigpt/token/tokenizer.hpp>

namespace midigpt {

struct MusicFixture {
  std::vector<std::string> texts;
  Tokenizer tokenizer;
};

inline MusicFixture make_music_fixture(CodecKind codec) {
  std::vector<std::string> texts;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) texts.push_back(to_text(dice({.seed = seed}), codec));
  TokenTrainOptions options;
  options.cap_vocab = true;
  options.normalizer.add_dummy_prefix = options.normalizer.remove_extra_whitespaces = false;
  options.spec.model_type = ModelType::bpe;
  options.spec.vocab_size = 1200;
  options.spec.character_coverage = 0.98f;
  options.spec.byte_fallback = true;
  options.spec.pad_id = 0;
  options.spec.unk_id = 1;
  options.spec.bos_id = 2;
  options.spec.eos_id = 3;
  const std::vector<std::string_view> lines(texts.begin(), texts.end());
  return {std::move(texts),
          Tokenizer::create(train_bpe(std::span<const std::string_view>(lines), options).value()).value()};
}

inline const MusicFixture& music_fixture(CodecKind codec) {
  static std::map<CodecKind, MusicFixture> made;
  const auto at = made.find(codec);
  return at != made.end() ? at->second : made.emplace(codec, make_music_fixture(codec)).first->second;
}

}  // namespace midigpt
