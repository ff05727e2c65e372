// tensor/tape.hpp - reverse-mode differentiation over coarse operations with hand-written backward functions.
//   An operation computes its value, hands it to record() with a function that turns the slope of the result into
//   slopes of its inputs, and is done: see the 20-line example in docs/tensors.md. The models in nn/ that must be fast
//   do without.
//   What a tape holds lies in memory of its own, taken back at once by clear(): who keeps the tape for the next step of
//   the same shapes allocates nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <midigpt/core/error.hpp>
#include <midigpt/tensor/tensor.hpp>

namespace midigpt {
inline namespace v0 {

template <class T>
class Tape;

namespace detail::tape {

/// Given out from the front, taken back all at once; the same requests again get the same places.
class Memory {
 public:
  /// n objects, 64-byte aligned, not initialised.
  template <class U>
  [[nodiscard]] U* take(std::size_t n) {
    const std::size_t bytes = (n * sizeof(U) + 63) / 64 * 64;
    for (; at_ < blocks_.size() && bytes > blocks_[at_].size() - used_; ++at_) used_ = 0;
    if (at_ == blocks_.size())
      blocks_.emplace_back((std::max)(bytes, blocks_.empty() ? k_first : 2 * blocks_.back().size()));
    std::byte* p = blocks_[at_].data() + used_;
    used_ += bytes;
    return reinterpret_cast<U*>(p);
  }
  void clear() noexcept { at_ = used_ = 0; }

 private:
  static constexpr std::size_t k_first = std::size_t{1} << 16;
  std::vector<AlignedBuffer<std::byte>> blocks_;
  std::size_t at_ = 0, used_ = 0;  // the block that is being filled, and bytes of it
};

template <class T>
struct Node {
  Node(Tensor<T> v, Node* b) noexcept : value(std::move(v)), before(b) {}
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;
  virtual void backward() {}

  Tensor<T> value, grad;
  Node* before;  // the one recorded before
};

template <class T, class F>
struct NodeWith final : Node<T> {
  NodeWith(Tensor<T> v, Node<T>* b, F f) : Node<T>(std::move(v), b), function(std::move(f)) {}
  void backward() override { function(static_cast<const Tensor<T>&>(this->grad)); }

  F function;
};

}  // namespace detail::tape

/// A value on a tape. Cheap to copy; lives as long as its tape, and until its clear().
template <class T>
class Var {
 public:
  [[nodiscard]] const Tensor<T>& value() const noexcept { return node_->value; }
  [[nodiscard]] const Shape& shape() const noexcept { return value().shape(); }
  /// The slope of the loss. Backward functions add to it.
  [[nodiscard]] Tensor<T>& grad() const {
    if (node_->grad.size() == 0) node_->grad = tape_->tensor(shape());
    return node_->grad;
  }
  [[nodiscard]] Tape<T>& tape() const noexcept { return *tape_; }

 private:
  friend class Tape<T>;
  Var(Tape<T>* tape, detail::tape::Node<T>* node) noexcept : tape_(tape), node_(node) {}
  Tape<T>* tape_;
  detail::tape::Node<T>* node_;
};

template <class T>
class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  ~Tape() { clear(); }

  /// Zeros in the tape's memory: for values, and for what a backward function needs. Not to be kept beyond clear().
  [[nodiscard]] Tensor<T> tensor(const Shape& shape) {
    Tensor<T> x(shape, take<T>(shape.size()));
    x.fill(T(0));
    return x;
  }
  /// The same numbers in the tape's memory.
  [[nodiscard]] Tensor<T> copy(const Tensor<T>& x) {
    return Tensor<T>(x.shape(), keep(x.span()).data());
  }
  /// The same objects in the tape's memory.
  template <class U>
  [[nodiscard]] std::span<U> keep(std::span<const U> objects) {
    U* p = take<U>(objects.size());
    std::uninitialized_copy(objects.begin(), objects.end(), p);
    return {p, objects.size()};
  }
  /// Room for n objects in the tape's memory, 64-byte aligned, not initialised.
  template <class U>
  [[nodiscard]] U* take(std::size_t n) {
    static_assert(std::is_trivially_destructible_v<U> && alignof(U) <= 64);
    return memory_.template take<U>(n);
  }

  /// A leaf.
  Var<T> input(Tensor<T> value) { return put<detail::tape::Node<T>>(std::move(value)); }

  /// A leaf that stands for a parameter: backward() adds its slope to `grad`, which must outlive what is on the tape.
  Var<T> parameter(const Tensor<T>& value, Tensor<T>& grad) {
    return record(copy(value), [&grad](const Tensor<T>& dy) {
      for (std::size_t i = 0; i < dy.size(); ++i) grad[i] += dy[i];
    });
  }

  /// `backward(dy)` gets the slope of the result, a const Tensor<T>&, and adds to the grad() of the inputs it captured.
  template <class F>
  Var<T> record(Tensor<T> value, F backward) {
    return put<detail::tape::NodeWith<T, F>>(std::move(value), std::move(backward));
  }

  /// Slopes of a scalar with respect to everything before it. Throws ShapeError when the loss has more than one number.
  void backward(Var<T> loss) {
    if (loss.value().size() != 1)
      throw ShapeError("backward: the loss is " + to_string(loss.shape()) + ", expected one number");
    loss.grad().fill(T(1));
    for (auto* node = loss.node_; node != nullptr; node = node->before) {
      if (node->grad.size() > 0) node->backward();
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Empties the tape and keeps its memory. Every Var and every tensor made by it is void.
  void clear() noexcept {
    while (last_ != nullptr) std::destroy_at(std::exchange(last_, last_->before));
    size_ = 0;
    memory_.clear();
  }

 private:
  template <class Node, class... Args>
  Var<T> put(Tensor<T> value, Args&&... args) {
    static_assert(alignof(Node) <= 64);
    last_ = new (memory_.template take<Node>(1)) Node(std::move(value), last_, std::forward<Args>(args)...);
    ++size_;
    return Var<T>(this, last_);
  }

  detail::tape::Memory memory_;
  detail::tape::Node<T>* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace v0
}  // namespace midigpt
