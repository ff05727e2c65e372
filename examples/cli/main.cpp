// midigpt - the library as a program: dice, info, pack, unpack, train, generate, eval, spm_train, spm_encode, spm_decode...
//   Exit codes: 0 done, 1 could not do it, 2 wrong use, 130 stopped by Ctrl-C with everything saved.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "model_commands.hpp"
#include "music_commands.hpp"
#include "spm.hpp"
#include "spm_encode.hpp"
#include "spm_normalize.hpp"

namespace {

struct SpmProgram {
  std::string_view name, what, example;
  int (*run)(std::span<const std::string_view>);
};

constexpr SpmProgram k_spm_programs[] = {
    {"spm_train", "train a vocabulary", "--input=corpus.txt --model_prefix=m --model_type=bpe --vocab_size=8000", cli::run_spm_train},
    {"spm_encode", "text to pieces or ids, line by line", "--model=m.model --output_format=id <corpus.txt >ids.txt", cli::run_spm_encode},
    {"spm_decode", "pieces or ids to text, line by line", "--model=m.model --input_format=id <ids.txt", cli::run_spm_decode},
    {"spm_normalize", "text as a model's normaliser sees it", "--model=m.model <corpus.txt", cli::run_spm_normalize},
    {"spm_export_vocab", "the vocabulary of a model as text", "--model=m.model --output=m.vocab", cli::run_spm_export_vocab},
};

int fail(int code, const std::string& command, const std::string& what) {
  const std::string where = command.empty() ? "midigpt" : "midigpt " + command;
  std::string line = what;
  for (char& c : line) c = c == '\n' ? ' ' : c;
  std::fprintf(stderr, "%s: %s\n", where.c_str(), line.c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  std::string command;
  try {
    // SentencePiece's flags are --name=value with any value, brackets and commas included: they are read as they stand
    const std::vector<std::string_view> words(argv + 1, argv + argc);
    for (const SpmProgram& program : k_spm_programs) {
      if (words.empty() || words[0] != program.name) continue;
      command = program.name;
      if (std::find(words.begin(), words.end(), "--help") != words.end()) {
        std::printf("midigpt %s: %s. Its flags are those of SentencePiece's %s, as --name=value.\n\nExample: midigpt %s %s\n", program.name.data(),
                    program.what.data(), program.name.data(), program.name.data(), program.example.data());
        return 0;
      }
      return program.run(std::span(words).subspan(1));
    }

    CLI::App app{"MIDI to text to tokens to a GPT and back.", "midigpt"};
    app.set_version_flag("--version", std::string(midigpt::k_version));
    app.require_subcommand(1);
    app.footer("Example: midigpt dice --key Am --bars 8 -o idea.mid --wav idea.wav");
    cli::add_music_commands(app);
    cli::add_model_commands(app);
    for (const SpmProgram& program : k_spm_programs) app.add_subcommand(std::string(program.name), std::string(program.what));
    if (!words.empty()) command = words[0].starts_with('-') ? "" : std::string(words[0]);
    try {
      app.parse(argc, argv);
    } catch (const CLI::Success& help) {  // --help, --version
      return app.exit(help);
    }
    return cli::exit_code();
  } catch (const CLI::ParseError& e) {
    return fail(2, "", std::string(e.what()) + "; see midigpt " + (command.empty() ? "" : command + " ") + "--help");
  } catch (const cli::WrongUse& e) {
    return fail(2, command, e.what());
  } catch (const std::exception& e) {
    return fail(1, command, e.what());
  }
}
