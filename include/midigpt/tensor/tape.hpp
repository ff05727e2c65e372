// tensor/tape.hpp - reverse-mode differentiation over coarse operations with hand-written backward functions.
//   An operation computes its value, hands it to record() with a function that turns the slope of the result into
//   slopes of its inputs, and is done: see the 20-line example in docs/tensors.md. The models in nn/ that must be fast
//   do without.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <utility>

#include <midigpt/core/error.hpp>
#include <midigpt/tensor/tensor.hpp>

namespace midigpt {
inline namespace v0 {

template <class T>
class Tape;

/// A value on a tape. Cheap to copy; lives as long as its tape.
template <class T>
class Var {
 public:
  [[nodiscard]] const Tensor<T>& value() const noexcept { return tape_->nodes_[index_].value; }
  [[nodiscard]] const Shape& shape() const noexcept { return value().shape(); }
  /// The slope of the loss. Backward functions add to it.
  [[nodiscard]] Tensor<T>& grad() const { return tape_->grad(index_); }
  [[nodiscard]] Tape<T>& tape() const noexcept { return *tape_; }

 private:
  friend class Tape<T>;
  Var(Tape<T>* tape, std::size_t index) noexcept : tape_(tape), index_(index) {}
  Tape<T>* tape_;
  std::size_t index_;
};

template <class T>
class Tape {
 public:
  /// Gets the slope of the result; adds to the grad() of the inputs it captured.
  using Backward = std::function<void(const Tensor<T>& dy)>;

  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// A leaf.
  Var<T> input(Tensor<T> value) { return record(std::move(value), nullptr); }

  /// A leaf that stands for a parameter: backward() adds its slope to `grad`, which must outlive the tape.
  Var<T> parameter(const Tensor<T>& value, Tensor<T>& grad) {
    return record(value, [&grad](const Tensor<T>& dy) {
      for (std::size_t i = 0; i < dy.size(); ++i) grad[i] += dy[i];
    });
  }

  Var<T> record(Tensor<T> value, Backward backward) {
    nodes_.push_back({std::move(value), Tensor<T>{}, std::move(backward)});
    return Var<T>(this, nodes_.size() - 1);
  }

  /// Slopes of a scalar with respect to everything before it. Throws ShapeError when the loss has more than one number.
  void backward(Var<T> loss) {
    if (loss.value().size() != 1)
      throw ShapeError("backward: the loss is " + to_string(loss.shape()) + ", expected one number");
    loss.grad().fill(T(1));
    for (std::size_t i = loss.index_ + 1; i-- > 0;) {
      Node& node = nodes_[i];
      if (node.backward && node.grad.size() > 0) node.backward(node.grad);
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }
  void clear() noexcept { nodes_.clear(); }

 private:
  friend class Var<T>;
  struct Node {
    Tensor<T> value, grad;
    Backward backward;
  };

  Tensor<T>& grad(std::size_t index) {
    Node& node = nodes_[index];
    if (node.grad.size() == 0) node.grad = Tensor<T>(node.value.shape());
    return node.grad;
  }

  std::deque<Node> nodes_;  // a deque: values stay where they are while the tape grows
};

}  // namespace v0
}  // namespace midigpt
