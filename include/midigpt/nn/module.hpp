// nn/module.hpp - what every model is made of: named parameters in a fixed order, with their gradients.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include <midigpt/core/rng.hpp>
#include <midigpt/tensor/tensor.hpp>

namespace midigpt {
inline namespace v0 {

/// One learned tensor. `decay` marks the ones that weight decay pulls to zero: matrices, not biases or norms.
template <class T>
struct Parameter {
  std::string name;  // as GPT-2 names it: "h.0.attn.c_attn.weight"
  Tensor<T> value, grad;
  bool decay = false;
};

template <class T>
[[nodiscard]] Parameter<T> make_parameter(std::string name, const Shape& shape, bool decay) {
  return {std::move(name), Tensor<T>(shape), Tensor<T>(shape), decay};
}

/// Fills with normal numbers. Each parameter has a stream of its own: `stream` is its place in the visiting order.
template <class T>
void fill_normal(Tensor<T>& x, double deviation, std::uint64_t seed, std::uint64_t stream) noexcept {
  Rng rng(seed, stream);
  for (T& v : x.span()) v = static_cast<T>(deviation * rng.normal());
}

}  // namespace v0
}  // namespace midigpt
