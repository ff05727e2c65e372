// midigpt - the library as a program: dice, info, pack, unpack, train, generate, eval, spm_train, spm_encode, spm_decode...
//   Exit codes: 0 done, 1 could not do it, 2 wrong use, 130 stopped by Ctrl-C with everything saved.
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

namespace {

struct SpmProgram {
  std::string_view name, what;
  int (*run)(std::span<const std::string_view>);
};

constexpr SpmProgram k_spm_programs[] = {
    {"spm_train", "train a vocabulary; the flags of SentencePiece's program", cli::run_spm_train},
    {"spm_encode", "text to pieces or ids, line by line", cli::run_spm_encode},
    {"spm_decode", "pieces or ids to text, line by line", cli::run_spm_decode},
    {"spm_normalize", "text as a model's normaliser sees it", cli::run_spm_normalize},
    {"spm_export_vocab", "the vocabulary of a model as text", cli::run_spm_export_vocab},
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
    app.parse(argc, argv);
    return cli::exit_code();
  } catch (const CLI::Success& help) {  // --help, --version
    std::fputs((std::string(help.what()) + "\n").c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& e) {
    return fail(2, "", std::string(e.what()) + "; see midigpt " + (command.empty() ? "" : command + " ") + "--help");
  } catch (const cli::WrongUse& e) {
    return fail(2, command, e.what());
  } catch (const std::exception& e) {
    return fail(1, command, e.what());
  }
}
