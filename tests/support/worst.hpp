// The largest of many errors.
#pragma once

#include <cmath>

/// Keeps the largest error it is given; one that is no number is larger than all.
struct Worst {
  double error = 0;
  void operator()(double e) {
    if (!(e <= error)) error = std::isnan(e) ? HUGE_VAL : e;
  }
};
