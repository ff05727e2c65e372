// examples/cli/spm.hpp - spm_train as a command: the flags of SentencePiece's program, read as plain strings.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <midigpt/core/file.hpp>
#include <midigpt/token/model.hpp>
#include <midigpt/token/normalizer.hpp>
#include <midigpt/token/trainer.hpp>

namespace cli {

/// `--name=value`, `--name value` and, for switches, `--name`, as SentencePiece's programs read them.
class SpmFlags {
 public:
  /// A flag that sets `to`: a string, strings between commas, a switch, a whole number or a real one.
  template <class T>
  void add(const std::string& name, T& to) {
    if constexpr (std::is_same_v<T, bool>) switches_.push_back(name);
    sets_[name] = [&to](const std::string& v) { return read(v, to); };
  }

  /// Reads all arguments; what is no flag goes to `rest`. Returns an empty string or what is wrong.
  [[nodiscard]] std::string parse(std::span<const std::string_view> args, std::vector<std::string>& rest) const {
    for (std::size_t i = 0; i < args.size(); ++i) {
      std::string_view arg = args[i];
      if (arg.size() < 2 || arg[0] != '-') {
        rest.emplace_back(arg);
        continue;
      }
      arg.remove_prefix(arg.starts_with("--") ? 2 : 1);
      const std::size_t eq = arg.find('=');
      const std::string name(arg.substr(0, eq));
      const auto set = sets_.find(name);
      if (set == sets_.end()) return "unknown flag --" + name;
      std::string value;
      if (eq != std::string_view::npos) {
        value = arg.substr(eq + 1);
      } else if (std::find(switches_.begin(), switches_.end(), name) == switches_.end()) {
        if (++i == args.size()) return "--" + name + " needs a value";
        value = args[i];
      }
      if (!set->second(value)) return "--" + name + ": cannot read the value " + value;
    }
    return {};
  }

  /// Fields between commas; a field in double quotes may hold commas, and "" for a quote.
  [[nodiscard]] static std::vector<std::string> split_csv(std::string_view text) {
    std::vector<std::string> out;
    if (text.empty()) return out;
    std::string field;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
        field += text[++i];
      } else if (c == '"' && (quoted || field.empty())) {
        quoted = !quoted;
      } else if (c == ',' && !quoted) {
        out.push_back(std::exchange(field, {}));
      } else {
        field += c;
      }
    }
    out.push_back(field);
    return out;
  }

 private:
  static bool read(const std::string& v, std::string& to) {
    to = v;
    return true;
  }
  static bool read(const std::string& v, std::vector<std::string>& to) {
    to = split_csv(v);
    return true;
  }
  static bool read(const std::string& v, bool& to) {
    for (const char* yes : {"1", "t", "true", "y", "yes", ""}) {
      if (v == yes) return to = true;
    }
    for (const char* no : {"0", "f", "false", "n", "no"}) {
      if (v == no) return !(to = false);
    }
    return false;
  }
  static bool read(const std::string& v, float& to) {
    char* end = nullptr;
    to = static_cast<float>(std::strtod(v.c_str(), &end));
    return !v.empty() && *end == '\0';
  }
  template <class Int>
  static bool read(const std::string& v, Int& to) {
    char* end = nullptr;
    errno = 0;
    const long long n = std::strtoll(v.c_str(), &end, 10);
    to = static_cast<Int>(n);
    return !v.empty() && *end == '\0' && errno == 0 && std::cmp_equal(n, to);
  }

  std::map<std::string, std::function<bool(const std::string&)>, std::less<>> sets_;  // false: the value does not fit
  std::vector<std::string> switches_;
};

inline int spm_fail(const char* program, const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", program, what.c_str());
  return 1;
}

/// What `spm_train FLAGS` asks for; `what` names the first bad flag.
inline bool spm_train_options(std::span<const std::string_view> args, midigpt::TokenTrainOptions& options, std::string& what) {
  using namespace midigpt;
  TrainerSpec& s = options.spec;
  NormalizerSpec& n = options.normalizer;
  s.present = k_spm_train_trainer_fields;
  n.present = k_spm_train_normalizer_fields;
  n.name = "nmt_nfkc";
  std::string model_type = "unigram", era = "heap", control_file, user_file, required_file;
  int minloglevel = 0;
  std::uint32_t random_seed = 0xFFFFFFFFu;
  SpmFlags flags;
  for_each_field(&s, [&](std::uint32_t, std::string_view name, auto field) {  // a flag has the name of its field
    const bool deprecated = name == "mining_sentence_size" || name == "training_sentence_size";
    if constexpr (!std::is_same_v<decltype(field), ModelType TrainerSpec::*>) {
      if (!deprecated) flags.add(std::string(name), s.*field);
    }
  });
  flags.add("model_type", model_type);
  flags.add("control_symbols_file", control_file);
  flags.add("user_defined_symbols_file", user_file);
  flags.add("required_chars_file", required_file);
  flags.add("normalization_rule_name", n.name);
  flags.add("normalization_rule_tsv", n.normalization_rule_tsv);
  flags.add("denormalization_rule_tsv", options.denormalization_rule_tsv);
  flags.add("add_dummy_prefix", n.add_dummy_prefix);
  flags.add("remove_extra_whitespaces", n.remove_extra_whitespaces);
  flags.add("random_seed", random_seed);
  flags.add("minloglevel", minloglevel);
  flags.add("era", era);                      // ours: heap (0.2.2 and later) or window (0.1.99 to 0.2.1)
  flags.add("cap_vocab", options.cap_vocab);  // ours: vocab_size is a cap

  std::vector<std::string> rest;
  what = flags.parse(args, rest);
  if (!what.empty()) return false;
  s.input.insert(s.input.end(), rest.begin(), rest.end());
  if (random_seed != 0xFFFFFFFFu) options.sampling_seed = random_seed;

  if (model_type == "unigram") s.model_type = ModelType::unigram;
  else if (model_type == "bpe") s.model_type = ModelType::bpe;
  else if (model_type == "word") s.model_type = ModelType::word;
  else if (model_type == "char") s.model_type = ModelType::character;
  else what = "--model_type: unigram, bpe, word or char, not " + model_type;
  if (era == "heap") options.era = BpeEra::heap;
  else if (era == "window") options.era = BpeEra::window;
  else what = "--era: heap or window, not " + era;

  const auto load = [&](const std::string& path, auto&& use) {
    if (path.empty() || !what.empty()) return;
    const auto bytes = read_file(path);
    if (!bytes) what = describe(bytes.error());
    else use(as_chars(*bytes));
  };
  const auto lines_to = [](std::vector<std::string>& to) {
    return [&to](std::string_view text) {
      while (!text.empty()) {
        const std::size_t lf = text.find('\n');
        to.emplace_back(text.substr(0, lf));
        text.remove_prefix(lf == std::string_view::npos ? text.size() : lf + 1);
      }
    };
  };
  load(control_file, lines_to(s.control_symbols));
  load(user_file, lines_to(s.user_defined_symbols));
  load(required_file, [&](std::string_view text) { s.required_chars = text; });
  return what.empty();
}

inline int run_spm_train(std::span<const std::string_view> args) {
  using namespace midigpt;
  TokenTrainOptions options;
  std::string what;
  if (!spm_train_options(args, options, what)) return spm_fail("spm_train", what);
  if (options.spec.input.empty()) return spm_fail("spm_train", "--input is missing");
  if (options.spec.model_prefix.empty()) return spm_fail("spm_train", "--model_prefix is missing");
  ThreadPool pool(static_cast<std::size_t>(options.spec.num_threads > 0 ? options.spec.num_threads : 1));
  TokenTrainReport report;
  const auto model = train_tokenizer(options, &pool, &report);
  if (!model) return spm_fail("spm_train", describe(model.error()));
  if (auto ok = write_spm_model(options.spec.model_prefix + ".model", *model); !ok) return spm_fail("spm_train", describe(ok.error()));
  if (auto ok = write_file_atomic(options.spec.model_prefix + ".vocab", vocab_text(*model)); !ok) {
    return spm_fail("spm_train", describe(ok.error()));
  }
  return 0;
}

}  // namespace cli
