// What tests of kernels share.
#pragma once

#include <doctest/doctest.h>

#include <midigpt/core/rng.hpp>
#include <midigpt/tensor/simd.hpp>
#include <midigpt/tensor/tensor.hpp>

/// f(isa) for every instruction set that this processor has.
template <class F>
void each_isa(F f) {
  for (int isa = 0; isa <= static_cast<int>(midigpt::best_isa()); ++isa) {
    CAPTURE(midigpt::isa_name(static_cast<midigpt::Isa>(isa)));
    f(static_cast<midigpt::Isa>(isa));
  }
}

inline midigpt::Tensor<double> random_tensor(const midigpt::Shape& shape, std::uint64_t seed) {
  midigpt::Tensor<double> x(shape);
  midigpt::Rng rng(seed, 3);
  for (double& v : x.span()) v = rng.normal();
  return x;
}
