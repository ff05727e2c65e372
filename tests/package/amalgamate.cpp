// amalgamate INCLUDE_DIR OUTPUT: one header from include/midigpt/midigpt.hpp.
//   Follows <midigpt/...> includes depth-first, each once; hoists all other includes that stand outside #if; sorts them.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <string>

namespace {

std::filesystem::path include_dir;
std::set<std::string> seen, hoisted;
std::ostringstream body;

void follow(const std::string& name) {
  if (!seen.insert(name).second) return;
  std::ifstream in(include_dir / name);
  if (!in) throw std::runtime_error("no header " + name);
  int depth = 0;  // of #if
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("#if")) ++depth;
    if (line.starts_with("#endif")) --depth;
    if (line.starts_with("#pragma once")) continue;
    if (line.starts_with("#include <midigpt/")) {
      follow(line.substr(10, line.find('>') - 10));
    } else if (line.starts_with("#include") && depth == 0) {
      hoisted.insert(line.substr(0, line.find('>') + 1));
    } else {
      body << line << '\n';
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::cerr << "usage: amalgamate INCLUDE_DIR OUTPUT\n", 2;
  include_dir = argv[1];
  follow("midigpt/midigpt.hpp");
  std::filesystem::create_directories(std::filesystem::path(argv[2]).parent_path());
  std::ofstream out(argv[2]);
  out << "// midigpt in one file, made by tests/package/amalgamate.cpp. MIT licence, see LICENSE.\n#pragma once\n\n";
  for (const std::string& line : hoisted) out << line << '\n';
  out << '\n' << body.str();
  return out.flush() ? 0 : 1;
}
