#include <doctest/doctest.h>

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <midigpt/midi/procedural.hpp>
#include <midigpt/report/svg.hpp>
#include <report/odd_scores.hpp>

using namespace midigpt;

namespace {

std::size_t count_of(std::string_view text, std::string_view what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

/// Tags are closed in order, attributes quoted, no bare markup in text: what an XML parser would insist on here.
bool well_formed(std::string_view s) {
  std::vector<std::string_view> open;
  for (std::size_t at = 0; at < s.size();) {
    if (s[at] == '&' && s.substr(at, 4) != "&lt;" && s.substr(at, 4) != "&gt;" && s.substr(at, 5) != "&amp;" &&
        s.substr(at, 6) != "&quot;")
      return false;
    if (s[at] != '<') {
      if (static_cast<unsigned char>(s[at]) < 0x20 && s[at] != '\n') return false;
      ++at;
      continue;
    }
    const std::size_t end = s.find('>', at);
    if (end == std::string_view::npos) return false;
    const std::string_view tag = s.substr(at + 1, end - at - 1);
    if (count_of(tag, "\"") % 2 != 0 || tag.find('<') != std::string_view::npos) return false;
    if (tag.front() == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    at = end + 1;
  }
  return open.empty() && utf8_first_invalid(s) == std::string_view::npos;
}

}  // namespace

TEST_CASE("svg: a piano roll holds every note once, every part's name, and numbered bars") {
  const Score score = dice({.seed = 2, .bars = 8, .feel = Feel::pop});
  const std::string svg = piano_roll_svg(score, {.title = "Seed 2"});
  CHECK(well_formed(svg));
  CHECK(count_of(svg, "opacity=") == count_notes(score));
  for (const Track& t : score.tracks) CHECK(svg.find(">" + t.name + "<") != std::string::npos);
  CHECK(svg.find(">Seed 2<") != std::string::npos);
  for (const char* bar : {">1<", ">2<", ">8<"}) CHECK(count_of(svg, bar) == 1);
  CHECK(svg.find(">kick<") != std::string::npos);
  CHECK(svg == piano_roll_svg(score, {.title = "Seed 2"}));
}

TEST_CASE("svg: a note lies where its time and pitch say") {
  Score score;
  score.division.tpq = 100;
  score.tracks = {{.name = "One",
                   .notes = {{.tick = 100, .duration = 100, .channel = 0, .pitch = 60, .velocity = 127}},
                   .events = {},
                   .metas = {},
                   .end_tick = 400}};
  // 4 quarters (+1) at 100 pixels: the roll is 500 wide for 400 ticks; pitches 58..62 are rows, 60 the middle one
  const std::string svg = piano_roll_svg(score, {.title = "", .pixels_per_quarter = 100, .pixels_per_key = 10});
  CHECK(svg.find("<rect x=\"201\" y=\"64\" width=\"124.5\" height=\"9\" opacity=\"1\"/>") != std::string::npos);
}

TEST_CASE("svg: names from files cannot break the picture") {
  Score score;
  score.tracks.resize(2);
  score.tracks[0].name = "<script>&\"'\xff\xfe\x01 name";
  score.tracks[0].notes = {{.tick = 0, .duration = 10}};
  score.tracks[1].name = std::string(10000, 'x');
  score.tracks[1].notes = {{.tick = 0, .duration = 10, .channel = 3}, {.tick = 5, .duration = 10, .channel = 4}};
  const std::string svg = piano_roll_svg(score, {.title = "a<b>&c"});
  CHECK(well_formed(svg));
  CHECK(svg.find("&lt;script&gt;&amp;&quot;") != std::string::npos);
  CHECK(svg.size() < 20000);
}

TEST_CASE("svg: odd scores give a picture of bounded size") {
  Score empty;
  CHECK(well_formed(piano_roll_svg(empty)));
  Score far;
  far.tracks.resize(1);
  far.time_signatures = {{.tick = 0, .numerator = 0}, {.tick = 7, .numerator = 1, .denominator_log2 = 255}};
  far.tracks[0].notes = {{.tick = 0, .duration = 1},
                         {.tick = std::int64_t{1} << 61, .duration = std::int64_t{1} << 60, .channel = 9}};
  const std::string svg = piano_roll_svg(far, {.title = "", .pixels_per_quarter = 1 << 30, .pixels_per_key = -5});
  CHECK(well_formed(svg));
  CHECK(svg.size() < 2000000);
  Score smpte;
  smpte.division = {.tpq = 0, .smpte_fps = 25, .ticks_per_frame = 40};
  smpte.tracks.resize(1);
  smpte.tracks[0].notes = {{.tick = 0, .duration = 500}};
  CHECK(well_formed(piano_roll_svg(smpte)));
}

TEST_CASE("svg: any score within its types gives a well-formed picture of bounded size") {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const std::string svg = piano_roll_svg(odd_score(seed));
    wrong += !well_formed(svg) || svg.size() > 2000000;
  }
  CHECK(wrong == 0);
}

TEST_CASE("svg: the loss curve has both curves, ticks and labelled baselines") {
  std::vector<CurvePoint> train, held;
  for (int i = 0; i <= 100; ++i) train.push_back({static_cast<double>(i), 6.0 - 0.04 * i});
  for (int i = 0; i <= 100; i += 20) held.push_back({static_cast<double>(i), 6.2 - 0.04 * i});
  const std::vector<Baseline> baselines = {{"uniform", 6.24}, {"order 2", 2.5}};
  const std::string svg = loss_curve_svg(train, held, baselines, {.title = "Run <1>"});
  CHECK(well_formed(svg));
  CHECK(svg.find("Run &lt;1&gt;") != std::string::npos);
  CHECK(svg.find("uniform 6.240") != std::string::npos);
  CHECK(svg.find("order 2 2.500") != std::string::npos);
  CHECK(svg.find("train 2.000") != std::string::npos);
  CHECK(svg.find("held-out 2.200") != std::string::npos);
  CHECK(count_of(svg, "<circle") == held.size());
  for (const char* tick : {">0<", ">20<", ">100<", ">2.0<", ">6.5<"})
    CHECK_MESSAGE(svg.find(tick) != std::string::npos, tick);
}

TEST_CASE("svg: ticks are 1, 2 or 5 times a power of ten") {
  CHECK(detail::svg::nice_step(6, 6) == doctest::Approx(1));
  CHECK(detail::svg::nice_step(600, 8) == doctest::Approx(50));
  CHECK(detail::svg::nice_step(0.013, 6) == doctest::Approx(0.002));
  CHECK(detail::svg::nice_step(3e6, 8) == doctest::Approx(500000));
}

TEST_CASE("svg: no points, one point, points that are no numbers: still a picture") {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(well_formed(loss_curve_svg({}, {})));
  const std::vector<CurvePoint> one = {{5, 2}};
  CHECK(count_of(loss_curve_svg(one, {}), "<circle") == 1);
  const std::vector<CurvePoint> odd = {{0, nan}, {1, inf}, {nan, 2}, {3, 4}, {4, 4}};
  const std::string svg = loss_curve_svg(odd, odd, std::vector<Baseline>{{"x", nan}});
  CHECK(well_formed(svg));
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
  std::vector<CurvePoint> many(100000, CurvePoint{});
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = {static_cast<double>(i), 1.0};
  CHECK(loss_curve_svg(many, {}).size() < 100000);
}
