// The house's rules about includes, as docs/architecture.md states them, checked on the text of every header.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace fs = std::filesystem;

namespace {

const fs::path k_root = fs::path(MIDIGPT_SOURCE_DIR) / "include" / "midigpt";

/// Which folders a folder may include, itself aside.
const std::map<std::string, std::set<std::string>> k_floors = {
    {"core", {}},
    {"midi", {"core"}},
    {"token", {"core"}},
    {"tensor", {"core"}},
    {"codec", {"midi", "core"}},
    {"report", {"midi", "core"}},
    {"nn", {"tensor", "core"}},
    {"weights", {"tensor", "core"}},
    {"train", {"nn", "weights", "tensor", "core"}},
    {"generate", {"nn", "tensor", "token", "codec", "midi", "core"}},
    {"pipeline", {"train", "generate", "report", "weights", "nn", "tensor", "codec", "token", "midi", "core"}},
};

struct Header {
  std::string name;  // "midi/read.hpp"
  std::vector<std::string> ours, others;
  bool pragma_once = false;
};

std::vector<Header> headers() {
  std::vector<Header> out;
  for (const auto& entry : fs::recursive_directory_iterator(k_root)) {
    if (!entry.is_regular_file()) continue;
    Header h;
    h.name = fs::relative(entry.path(), k_root).generic_string();
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with("#pragma once")) h.pragma_once = true;
      if (!line.starts_with("#include")) continue;
      const auto open = line.find_first_of("<\"");
      const auto close = line.find_first_of(">\"", open + 1);
      const std::string target = line.substr(open + 1, close - open - 1);
      if (line[open] == '"') h.others.push_back("\"" + target);
      else if (target.starts_with("midigpt/")) h.ours.push_back(target.substr(8));
      else h.others.push_back(target);
    }
    out.push_back(std::move(h));
  }
  std::ranges::sort(out, {}, &Header::name);
  return out;
}

std::string folder(const std::string& name) {
  const auto slash = name.find('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

}  // namespace

TEST_CASE("floors: every include goes down, and no header includes itself through others") {
  const auto all = headers();
  REQUIRE(all.size() > 20);
  std::map<std::string, std::vector<std::string>> graph;
  for (const Header& h : all) {
    CAPTURE(h.name);
    CHECK(h.pragma_once);
    graph[h.name] = h.ours;
    const std::string from = folder(h.name);
    if (from.empty()) continue;  // version.hpp and the umbrella
    REQUIRE(k_floors.contains(from));
    for (const std::string& target : h.ours) {
      CAPTURE(target);
      CHECK(fs::exists(k_root / target));
      const std::string to = folder(target);
      CHECK((to == from || to.empty() ? target != "midigpt.hpp" : k_floors.at(from).contains(to)));
    }
  }
  std::map<std::string, int> state;  // 0 new, 1 open, 2 done
  std::vector<std::string> cycle;
  const auto visit = [&](const auto& self, const std::string& name) -> void {
    if (state[name] == 1) cycle.push_back(name);
    if (state[name] != 0) return;
    state[name] = 1;
    for (const std::string& next : graph[name]) self(self, next);
    state[name] = 2;
  };
  for (const Header& h : all) visit(visit, h.name);
  CHECK(cycle.empty());
}

TEST_CASE("floors: the umbrella lists every header") {
  const auto all = headers();
  std::set<std::string> listed;
  for (const Header& h : all) {
    if (h.name == "midigpt.hpp") listed.insert(h.ours.begin(), h.ours.end());
  }
  for (const Header& h : all) {
    if (h.name == "midigpt.hpp") continue;
    CAPTURE(h.name);
    CHECK(listed.contains(h.name));
  }
}

TEST_CASE("floors: CMake installs every header") {
  std::ifstream in(fs::path(MIDIGPT_SOURCE_DIR) / "CMakeLists.txt");
  std::stringstream text;
  text << in.rdbuf();
  for (const Header& h : headers()) {
    CAPTURE(h.name);
    CHECK(text.str().find("include/midigpt/" + h.name + "\n") != std::string::npos);
  }
}

TEST_CASE("floors: Eigen enters by one door, and heavy standard headers only where they are needed") {
  const std::map<std::string, std::string> only_in = {{"filesystem", "midi/folder.hpp pipeline/"}, {"iostream", ""}, {"regex", ""}};
  for (const Header& h : headers()) {
    CAPTURE(h.name);
    for (const std::string& target : h.others) {
      CAPTURE(target);
      CHECK(target.front() != '"');
      if (target.starts_with("Eigen/")) CHECK(h.name == "tensor/tensor.hpp");
      const auto rule = only_in.find(target);
      if (rule == only_in.end()) continue;
      const bool allowed = rule->second.find(h.name) != std::string::npos || rule->second.find(folder(h.name) + "/ ") != std::string::npos ||
                           rule->second.ends_with(" " + folder(h.name) + "/");
      CHECK(allowed);
    }
  }
}
