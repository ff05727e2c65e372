// report/svg.hpp - pictures for people: a score as a piano roll, a training run as a loss curve. SVG 1.1, no scripts,
// no fonts
//   of its own; the same input gives the same bytes. Sizes are bounded whatever the score holds.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/concat.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/core/utf8.hpp>
#include <midigpt/midi/bars.hpp>
#include <midigpt/midi/score.hpp>
#include <midigpt/midi/tempo_map.hpp>

namespace midigpt {
inline namespace v0 {

struct RollOptions {
  std::string title;            // above the picture, if not empty
  int pixels_per_quarter = 24;  // 1..400; less where the piece would become wider than max_width
  int pixels_per_key = 7;       // 2..40
  int max_width = 6000;         // pixels, at least 300
};

struct CurvePoint {
  double step = 0;
  double loss = 0;
};

/// A horizontal line to compare with: a Markov model, the uniform guess.
struct Baseline {
  std::string name;
  double loss = 0;
};

struct CurveOptions {
  std::string title = "Loss";
  std::string x_label = "step";
  std::string y_label = "nats per token";
  int width = 900, height = 480;  // pixels, at least 300 x 200
};

namespace detail::svg {

/// Okabe and Ito's palette, told apart by the colour-blind too; readable on white.
inline constexpr std::array<std::string_view, 8> colours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                            "#e69f00", "#56b4e9", "#7a5195", "#444444"};

/// Text between tags: markup escaped, ill-formed bytes replaced, control characters left out, long names cut.
[[nodiscard, gnu::cold]] inline std::string text(std::string_view s, std::size_t max_characters) {
  std::string out;
  for (std::size_t at = 0, n = 0; at < s.size(); ++n) {
    if (n == max_characters) return out + "\xE2\x80\xA6";
    const Utf8Char c = utf8_decode(s, at);
    at += c.size;
    const bool control = c.code_point < 0x20 || c.code_point == 0x7F || (c.code_point & 0xFFFE) == 0xFFFE;
    if (c.code_point == U'&')
      out += "&amp;";
    else if (c.code_point == U'<')
      out += "&lt;";
    else if (c.code_point == U'>')
      out += "&gt;";
    else if (c.code_point == U'"')
      out += "&quot;";
    else if (!control)
      utf8_append(out, c.code_point);
  }
  return out;
}

/// Hundredths as a decimal number, in every locale: 1250 -> "12.5".
[[nodiscard, gnu::cold]] inline std::string fixed2(std::int64_t hundredths) {
  const std::string sign = hundredths < 0 ? "-" : "";
  const std::int64_t n = hundredths < 0 ? -hundredths : hundredths;
  std::string out = concat({sign, n / 100});
  if (n % 100 != 0) append(out, {".", n % 100 / 10});
  if (n % 10 != 0) out += std::to_string(n % 10);
  return out;
}

[[nodiscard, gnu::cold]] inline std::string number(double x) {
  return fixed2(static_cast<std::int64_t>(std::floor(x * 100 + 0.5)));
}

[[nodiscard, gnu::cold]] inline std::string open(int width, int height) {
  const std::string w = std::to_string(width), h = std::to_string(height);
  return concat({"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", w, "\" height=\"", h, "\" viewBox=\"0 0 ", w, " ", h,
      "\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"", w, "\" height=\"", h, "\" fill=\"#fff\"/>\n"});
}

[[nodiscard, gnu::cold]] inline std::string label(const std::string& x, const std::string& y, std::string_view anchor,
                                       std::string_view colour, std::string_view words, std::string_view more = "",
                                       std::size_t most = 160) {
  return concat({"<text x=\"", x, "\" y=\"", y, "\" text-anchor=\"", anchor, "\" fill=\"", colour, "\"", more, ">", text(words, most),
      "</text>\n"});
}

[[nodiscard, gnu::cold]] inline std::string line(const std::string& x1, const std::string& y1, const std::string& x2,
                                      const std::string& y2, std::string_view style) {
  return concat({"<path d=\"M", x1, " ", y1, "L", x2, " ", y2, "\" ", style, "/>\n"});
}

/// The name of a General MIDI drum key that is often met; its number otherwise.
[[nodiscard, gnu::cold]] inline std::string drum_name(int key) {
  switch (key) {
    case 35:
    case 36:
      return "kick";
    case 37:
      return "side stick";
    case 38:
    case 40:
      return "snare";
    case 39:
      return "clap";
    case 41:
    case 43:
      return "floor tom";
    case 42:
      return "closed hat";
    case 44:
      return "pedal hat";
    case 45:
    case 47:
    case 48:
    case 50:
      return "tom";
    case 46:
      return "open hat";
    case 49:
    case 57:
      return "crash";
    case 51:
    case 59:
      return "ride";
    case 70:
      return "shaker";
    default:
      return concat({"drum ", key});
  }
}

/// A track's notes on one channel: one colour, one line of the legend.
struct Part {
  std::size_t track;
  std::uint8_t channel;
  std::string name;
};

[[nodiscard, gnu::cold]] inline std::vector<Part> parts_of(const Score& score) {
  std::vector<Part> parts;
  for (std::size_t t = 0; t < score.tracks.size(); ++t) {
    std::array<bool, 16> used{};
    for (const Note& n : score.tracks[t].notes) used[n.channel & 15u] = true;
    const auto channels = std::count(used.begin(), used.end(), true);
    for (std::size_t c = 0; c < 16; ++c) {
      if (!used[c]) continue;
      std::string name = score.tracks[t].name;
      if (name.empty()) name = c == 9 ? "Drums" : concat({"Track ", t + 1});
      if (channels > 1) append(name, {" ch ", c + 1});
      parts.push_back({t, static_cast<std::uint8_t>(c), std::move(name)});
    }
  }
  return parts;
}

/// 1, 2 or 5 times a power of ten, so that `span` has about `count` steps.
[[nodiscard, gnu::cold]] inline double nice_step(double span, int count) {
  const double raw = span / count;
  double step = 1;
  while (step > raw) step /= 10;
  while (step * 10 <= raw) step *= 10;
  return raw <= step * 1.5 ? step : raw <= step * 3.5 ? step * 2 : raw <= step * 7.5 ? step * 5 : step * 10;
}

/// At most `most` points: the means of equal runs.
[[nodiscard]] inline std::vector<CurvePoint> thinned(std::span<const CurvePoint> points, std::size_t most) {
  std::vector<CurvePoint> finite;
  for (const CurvePoint& p : points) {
    if (std::isfinite(p.step) && std::isfinite(p.loss)) finite.push_back(p);
  }
  const std::size_t run = (finite.size() + most - 1) / most;
  if (run <= 1) return finite;
  std::vector<CurvePoint> out;
  for (std::size_t i = 0; i < finite.size(); i += run) {
    const std::size_t n = (std::min)(run, finite.size() - i);
    CurvePoint mean;
    for (std::size_t j = i; j < i + n; ++j) mean.step += finite[j].step, mean.loss += finite[j].loss;
    out.push_back({mean.step / static_cast<double>(n), mean.loss / static_cast<double>(n)});
  }
  return out;
}

}  // namespace detail::svg

/// The score as a piano roll: time to the right, one colour per part, velocity as opacity, bars numbered, drums in rows
/// of their own below.
[[nodiscard, gnu::cold]] inline std::string piano_roll_svg(const Score& score, const RollOptions& options = {}) {
  namespace svg = detail::svg;
  const auto parts = svg::parts_of(score);
  int low = 127, high = 0;
  std::array<int, 128> drum_row;
  drum_row.fill(-1);
  for (const Track& track : score.tracks) {
    for (const Note& n : track.notes) {
      if (n.channel == 9) {
        drum_row[n.pitch & 127u] = 0;
      } else {
        low = (std::min)(low, int{n.pitch}), high = (std::max)(high, int{n.pitch});
      }
    }
  }
  if (low > high && std::count(drum_row.begin(), drum_row.end(), 0) == 0) low = 60, high = 72;
  const bool pitched = low <= high;
  low = pitched ? (std::max)(low - 2, 0) : 0;
  high = pitched ? (std::min)(high + 2, 127) : -1;
  int drum_rows = 0;
  for (std::size_t key = 128; key-- > 0;) {
    if (drum_row[key] == 0) drum_row[key] = drum_rows++;
  }

  constexpr int left = 76, right = 16;
  const int key_height = std::clamp(options.pixels_per_key, 2, 40);
  const int drum_height = (std::max)(key_height, 11);
  const int top = (options.title.empty() ? 8 : 30) + 20 + 16;
  const int roll_height = (high - low + 1) * key_height;
  const int drum_top = top + roll_height + (drum_rows > 0 && pitched ? 10 : 0);
  const int bottom = drum_top + drum_rows * drum_height;

  std::int64_t end = (std::max)(duration_ticks(score), std::int64_t{1});
  const std::int64_t quarter =
      score.division.is_smpte() ? end / 32 + 1 : (std::max)(score.division.tpq, std::uint16_t{1});
  const int max_width = (std::max)(options.max_width, 300);
  const std::int64_t quarters = (std::min)(end / quarter + 1, std::int64_t{max_width});
  const std::int64_t wanted = quarters * std::clamp(options.pixels_per_quarter, 1, 400);
  const auto roll_width = static_cast<int>(std::clamp(wanted, std::int64_t{300}, std::int64_t{max_width}));
  int shift = 0;
  while (end >> shift >= std::int64_t{1} << 38) ++shift;
  const auto x_of = [&](std::int64_t tick) {  // hundredths of a pixel, in integers
    const std::int64_t t = std::clamp(tick, std::int64_t{0}, end) >> shift;
    return left * 100 + t * (roll_width * 100) / (std::max)(end >> shift, std::int64_t{1});
  };
  const std::string x0 = std::to_string(left), x1 = std::to_string(left + roll_width),
                    wide = std::to_string(roll_width);

  std::string out = svg::open(left + roll_width + right, bottom + 10);
  if (!options.title.empty()) out += svg::label("8", "20", "start", "#222", options.title, " font-size=\"15\"");
  std::int64_t legend_x = left;
  for (std::size_t p = 0; p < parts.size() && legend_x < left + roll_width; ++p) {
    const std::string y = std::to_string(top - 32);
    append(out, {"<rect x=\"", legend_x, "\" y=\"", y, "\" width=\"10\" height=\"10\" rx=\"2\" fill=\"",
        svg::colours[p % svg::colours.size()], "\"/>\n"});
    out += svg::label(std::to_string(legend_x + 14), std::to_string(top - 23), "start", "#222", parts[p].name, "", 24);
    legend_x += 30 + 7 * static_cast<std::int64_t>((std::min)(parts[p].name.size(), std::size_t{24}));
  }

  for (int key = low; key <= high; ++key) {
    const std::string y = std::to_string(top + (high - key) * key_height);
    const int pc = key % 12;
    if (pc == 1 || pc == 3 || pc == 6 || pc == 8 || pc == 10) {
      append(out, {"<rect x=\"", x0, "\" y=\"", y, "\" width=\"", wide, "\" height=\"", key_height, "\" fill=\"#f3f3f6\"/>\n"});
    }
    if (pc == 0) {
      const std::string base = std::to_string(top + (high - key + 1) * key_height);
      out += svg::line(x0, base, x1, base, "stroke=\"#ccc\"");
      out += svg::label(std::to_string(left - 6), base, "end", "#555", concat({"C", key / 12 - 1}));
    }
  }
  for (std::size_t key = 0; key < 128; ++key) {
    if (drum_row[key] < 0) continue;
    const int y = drum_top + drum_row[key] * drum_height;
    out += svg::line(x0, std::to_string(y + drum_height), x1, std::to_string(y + drum_height), "stroke=\"#e6e6e6\"");
    out += svg::label(std::to_string(left - 6), std::to_string(y + drum_height - 2), "end", "#555",
                      svg::drum_name(static_cast<int>(key)), " font-size=\"10\"");
  }
  const auto bars = bar_starts(score, end, 5000);
  std::int64_t last_label = -10000;
  for (std::size_t b = 0; b < bars.size(); ++b) {
    const std::int64_t x = x_of(bars[b]);
    if (b > 0 && x - x_of(bars[b - 1]) < 300) continue;  // closer than 3 pixels: no line
    const std::string at = svg::fixed2(x);
    out += svg::line(at, std::to_string(top), at, std::to_string(bottom), "stroke=\"#bbb\"");
    if (x - last_label < 2400 || bars[b] == end) continue;
    out += svg::label(svg::fixed2(x + 300), std::to_string(top - 4), "start", "#777", std::to_string(b + 1),
                      " font-size=\"10\"");
    last_label = x;
  }
  append(out, {"<rect x=\"", x0, "\" y=\"", top, "\" width=\"", wide, "\" height=\"", bottom - top,
      "\" fill=\"none\" stroke=\"#999\"/>\n"});

  for (std::size_t p = 0; p < parts.size(); ++p) {
    append(out, {"<g fill=\"", svg::colours[p % svg::colours.size()], "\">\n"});
    for (const Note& n : score.tracks[parts[p].track].notes) {
      if ((n.channel & 15u) != parts[p].channel) continue;
      const bool drum = n.channel == 9;
      const int height = drum ? drum_height - 3 : key_height - 1;
      const int y = drum ? drum_top + drum_row[n.pitch & 127u] * drum_height + 2 : top + (high - n.pitch) * key_height;
      const std::int64_t x = x_of(n.tick);
      const std::int64_t width = drum ? 400 : (std::max)(x_of(n.tick + n.duration) - x - 50, std::int64_t{150});
      const int opacity = 35 + 65 * (std::min)(int{n.velocity}, 127) / 127;  // percent
      append(out, {"<rect x=\"", svg::fixed2(x), "\" y=\"", y, "\" width=\"", svg::fixed2(width), "\" height=\"", height, "\" opacity=\"",
          svg::fixed2(opacity), "\"/>\n"});
    }
    out += "</g>\n";
  }
  return out + "</svg>\n";
}

/// A training run: the loss of training and of held-out data over steps, linear axes, baselines as dashed lines. Points
/// that are not finite are left out; more than 1,200 are averaged in runs.
[[nodiscard, gnu::cold]] inline std::string loss_curve_svg(std::span<const CurvePoint> train, std::span<const CurvePoint> held_out,
                                                std::span<const Baseline> baselines = {},
                                                const CurveOptions& options = {}) {
  namespace svg = detail::svg;
  const int width = (std::max)(options.width, 300), height = (std::max)(options.height, 200);
  constexpr int left = 64, right = 24, top = 48, bottom = 46;
  const auto train_points = svg::thinned(train, 1200), held_points = svg::thinned(held_out, 1200);
  double x_low = 0, x_high = 0, y_low = (std::numeric_limits<double>::max)(), y_high = -y_low;
  for (const auto* points : {&train_points, &held_points}) {
    for (const CurvePoint& p : *points) {
      x_low = (std::min)(x_low, p.step), x_high = (std::max)(x_high, p.step);
      y_low = (std::min)(y_low, p.loss), y_high = (std::max)(y_high, p.loss);
    }
  }
  for (const Baseline& b : baselines) {
    if (std::isfinite(b.loss)) y_low = (std::min)(y_low, b.loss), y_high = (std::max)(y_high, b.loss);
  }
  if (y_low > y_high) y_low = 0, y_high = 1;
  if (!(x_high - x_low > 0)) x_high = x_low + 1;
  if (y_high - y_low < 1e-6 * (std::max)(1.0, std::fabs(y_high))) y_low -= 0.5, y_high += 0.5;
  const double y_step = svg::nice_step(y_high - y_low, 6), x_step = svg::nice_step(x_high - x_low, 8);
  y_low = std::floor(y_low / y_step) * y_step;
  y_high = std::ceil(y_high / y_step) * y_step;
  const int plot_width = width - left - right, plot_height = height - top - bottom;
  const auto x_of = [&](double x) { return left + (x - x_low) / (x_high - x_low) * plot_width; };
  const auto y_of = [&](double y) { return top + (y_high - y) / (y_high - y_low) * plot_height; };
  const auto tick_name = [](double v, double step) {  // as many decimals as the step needs
    int decimals = 0;
    while (decimals < 6 && std::fabs(step - std::floor(step + 0.5)) > 1e-9 * step) step *= 10, ++decimals;
    double scale = 1;
    for (int i = 0; i < decimals; ++i) scale *= 10;
    if (std::fabs(v * scale) > 9e15) return std::string("-");
    const auto n = static_cast<std::int64_t>(std::floor(std::fabs(v) * scale + 0.5));
    std::string digits = std::to_string(n);
    if (digits.size() <= static_cast<std::size_t>(decimals))
      digits.insert(0, static_cast<std::size_t>(decimals) + 1 - digits.size(), '0');
    if (decimals > 0) digits.insert(digits.size() - static_cast<std::size_t>(decimals), ".");
    return (v < 0 && n != 0 ? "-" : "") + digits;
  };

  std::string out = svg::open(width, height);
  out += svg::label(std::to_string(left), "20", "start", "#222", options.title, " font-size=\"15\"");
  const std::string x0 = std::to_string(left), x1 = std::to_string(width - right), y1 = std::to_string(height - bottom);
  for (int i = 0; i < 100; ++i) {
    const double y = y_low + i * y_step;
    if (y > y_high + y_step / 2) break;
    out += svg::line(x0, svg::number(y_of(y)), x1, svg::number(y_of(y)), "stroke=\"#e6e6e6\"");
    out += svg::label(std::to_string(left - 6), svg::number(y_of(y) + 4), "end", "#555", tick_name(y, y_step));
  }
  const double first = std::ceil(x_low / x_step) * x_step;
  for (int i = 0; i < 100; ++i) {
    const double x = first + i * x_step;
    if (x > x_high + x_step * 1e-6) break;
    out += svg::line(svg::number(x_of(x)), y1, svg::number(x_of(x)), std::to_string(height - bottom + 4),
                     "stroke=\"#555\"");
    out +=
        svg::label(svg::number(x_of(x)), std::to_string(height - bottom + 17), "middle", "#555", tick_name(x, x_step));
  }
  append(out, {"<path d=\"M", x0, " ", top, "V", y1, "H", x1, "\" fill=\"none\" stroke=\"#555\"/>\n"});
  out +=
      svg::label(svg::number(left + plot_width / 2.0), std::to_string(height - 10), "middle", "#222", options.x_label);
  const std::string middle = svg::number(top + plot_height / 2.0);
  out += svg::label("14", middle, "middle", "#222", options.y_label, concat({" transform=\"rotate(-90 14 ", middle, ")\""}));

  double last_label = -100;  // labels of baselines that lie close are moved apart
  std::string labels;
  std::vector<Baseline> lines(baselines.begin(), baselines.end());
  sort_stably(lines, [](const Baseline& a, const Baseline& b) { return a.loss > b.loss; });
  for (const Baseline& b : lines) {
    if (!std::isfinite(b.loss)) continue;
    const std::string y = svg::number(y_of(b.loss));
    out += svg::line(x0, y, x1, y, "stroke=\"#888\" stroke-dasharray=\"6 4\"");
    last_label = (std::max)(y_of(b.loss) - 4, last_label + 12);
    labels += svg::label(std::to_string(width - right - 4), svg::number(last_label), "end", "#444",
                         concat({b.name, " ", tick_name(b.loss, 0.001)}),
                         " paint-order=\"stroke\" stroke=\"#fff\" stroke-width=\"4\"");
  }
  const auto curve = [&](const std::vector<CurvePoint>& points, std::string_view colour, std::string_view stroke,
                         bool dots) {
    if (points.empty()) return;
    std::string d;
    for (const CurvePoint& p : points)
      append(d, {d.empty() ? "M" : "L", svg::number(x_of(p.step)), " ", svg::number(y_of(p.loss))});
    append(out, {"<path d=\"", d, "\" fill=\"none\" stroke=\"", colour, "\" stroke-width=\"", stroke, "\" stroke-linejoin=\"round\"/>\n"});
    if (!dots && points.size() > 1) return;
    for (const CurvePoint& p : points) {
      append(out, {"<circle cx=\"", svg::number(x_of(p.step)), "\" cy=\"", svg::number(y_of(p.loss)), "\" r=\"2.5\" fill=\"", colour,
          "\"/>\n"});
    }
  };
  curve(train_points, svg::colours[5], "1.2", false);
  curve(held_points, svg::colours[1], "2", held_points.size() <= 60);
  out += labels;
  int legend = left;
  const auto name = [&](std::string_view words, std::string_view colour, const std::vector<CurvePoint>& points) {
    if (points.empty()) return;
    append(out, {"<rect x=\"", legend, "\" y=\"30\" width=\"14\" height=\"4\" fill=\"", colour, "\"/>\n"});
    const std::string last = concat({words, " ", tick_name(points.back().loss, 0.001)});
    out += svg::label(std::to_string(legend + 19), "36", "start", "#222", last);
    legend += 140;
  };
  name("train", svg::colours[5], train_points);
  name("held-out", svg::colours[1], held_points);
  return out + "</svg>\n";
}

}  // namespace v0
}  // namespace midigpt
