#include <midigpt/pipeline/baselines.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include <doctest/doctest.h>

#include <midigpt/core/rng.hpp>

using namespace midigpt;

namespace {

using Ids = std::vector<std::int32_t>;

/// The formula of the header, written again the slow way: counts by scanning, recursion over the order.
double naive(const std::vector<Ids>& corpus, const Ids& context, std::int32_t w, int order, int V, double D) {
  if (order < 0) return 1.0 / V;
  const Ids u(context.end() - order, context.end());
  std::map<std::int32_t, int> follow;
  int c = 0;
  for (const Ids& s : corpus) {
    for (std::size_t i = 1; i < s.size(); ++i) {
      if (i < u.size() || !std::equal(u.begin(), u.end(), s.begin() + static_cast<std::ptrdiff_t>(i - u.size()))) continue;
      ++c;
      ++follow[s[i]];
    }
  }
  const double lower = naive(corpus, context, w, order - 1, V, D);
  if (c == 0) return lower;
  return std::max(follow[w] - D, 0.0) / c + D * static_cast<double>(follow.size() - (follow[w] == 0 ? 1 : 0)) / c * lower;
}

}  // namespace

TEST_CASE("baselines: a worked example of order 0") {
  // tokens a a b after a start token: c(a) = 2, c(b) = 1, two distinct of V = 4, D = 0.75
  MarkovModel m(0, 4);
  m.learn(Ids{3, 0, 0, 1});
  const double rest = 0.75 * 2 / 3 * 0.25;
  CHECK(m.probability(Ids{3, 0}, 1) == doctest::Approx(1.25 / 3 + rest));
  CHECK(m.probability(Ids{3, 1}, 1) == doctest::Approx(0.25 / 3 + rest));
  CHECK(m.probability(Ids{3, 2}, 1) == doctest::Approx(rest));
}

TEST_CASE("baselines: order 0 to 2 equal the formula, and sum to one over the vocabulary") {
  constexpr int V = 5;
  Rng rng(1);
  std::vector<Ids> corpus(6);
  for (Ids& s : corpus) {
    s = {4};
    for (int i = rng.between(0, 30); i > 0; --i) s.push_back(rng.between(0, 3));
  }
  for (const int order : {0, 1, 2}) {
    CAPTURE(order);
    MarkovModel m(order, V);
    for (const Ids& s : corpus) m.learn(s);
    for (int trial = 0; trial < 200; ++trial) {
      Ids s = {4};
      for (int i = rng.between(0, 4); i > 0; --i) s.push_back(rng.between(0, V - 1));
      double sum = 0;
      for (std::int32_t w = 0; w < V; ++w) {
        Ids t = s;
        t.push_back(w);
        const double p = m.probability(t, s.size());
        sum += p;
        const int depth = std::min<int>(order, static_cast<int>(s.size()));
        CHECK(p == doctest::Approx(naive(corpus, s, w, depth, V, 0.75)).epsilon(1e-12));
      }
      CHECK(sum == doctest::Approx(1.0));
    }
  }
}

TEST_CASE("baselines: score sums over all tokens but the first; uniform is ln V each") {
  MarkovModel m(2, 3);
  m.learn(Ids{0, 1, 2, 1, 2});
  const Ids s = {0, 1, 2, 2};
  const Loss n = m.score(s);
  CHECK(n.count == 3);
  CHECK(n.nats == doctest::Approx(-std::log(m.probability(s, 1)) - std::log(m.probability(s, 2)) - std::log(m.probability(s, 3))));
  CHECK(bits_per_note(score_uniform(10, 8), 5) == doctest::Approx(6.0));
  CHECK(score_uniform(0, 8).mean() == 0.0);
}
