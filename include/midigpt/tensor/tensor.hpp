// tensor/tensor.hpp - row-major numbers in our own 64-byte aligned memory; Eigen sees them through Map, and only here.
//   Memory that one translation unit allocates may be freed in another one compiled for another instruction set: that
//   is why the storage is ours and no Eigen type owns anything (Eigen's own alignment depends on the flags of the
//   moment).
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>

#include <midigpt/core/error.hpp>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace midigpt {
inline namespace v0 {

/// Up to four dimensions, outermost first: Shape{V, C}.
class Shape {
 public:
  static constexpr std::size_t k_max_rank = 4;

  constexpr Shape() = default;
  constexpr Shape(std::initializer_list<std::size_t> dims) {
    if (dims.size() > k_max_rank) throw ShapeError("Shape: more than 4 dimensions");
    for (const std::size_t d : dims) dim_[rank_++] = d;
  }

  [[nodiscard]] constexpr std::size_t rank() const noexcept { return rank_; }
  [[nodiscard]] constexpr std::size_t operator[](std::size_t i) const noexcept { return dim_[i]; }
  [[nodiscard]] constexpr const std::size_t* begin() const noexcept { return dim_; }
  [[nodiscard]] constexpr const std::size_t* end() const noexcept { return dim_ + rank_; }

  /// Number of elements; 1 for a scalar (rank 0).
  [[nodiscard]] constexpr std::size_t size() const noexcept {
    std::size_t n = 1;
    for (const std::size_t d : *this) n *= d;
    return n;
  }

  friend constexpr bool operator==(const Shape& a, const Shape& b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  std::size_t dim_[k_max_rank] = {};
  std::size_t rank_ = 0;
};

/// For messages: "(8,32,48)".
[[nodiscard]] inline std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.rank(); ++i) text += (i ? "," : "") + std::to_string(shape[i]);
  return text + ")";
}

namespace detail {

/// 64-byte aligned array of plain numbers, not initialised. Grows only, by reserve(); never shrinks.
/// From 2 MiB on it begins at a 2 MiB boundary and Linux is asked for huge pages: address translation is up to a tenth
/// of a training step otherwise.
template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t size) { reserve(size); }
  /// `size` numbers that belong to someone else and are not freed here.
  AlignedBuffer(T* lent, std::size_t size) noexcept : data_(lent, Free{std::align_val_t{0}}), size_(size) {}

  /// Afterwards there is room for `size` numbers; the old content is lost when it has to grow.
  void reserve(std::size_t size) {
    if (size <= size_) return;
    data_.reset();
    const std::size_t bytes = size * sizeof(T);
    const std::align_val_t alignment{bytes >= k_huge ? k_huge : 64};
    data_ = std::unique_ptr<T, Free>(static_cast<T*>(::operator new(bytes, alignment)), Free{alignment});
    size_ = size;
#if defined(__linux__)
    if (bytes >= k_huge) (void)::madvise(data_.get(), bytes, MADV_HUGEPAGE);  // advice: refusal does no harm
#endif
  }
  [[nodiscard]] T* data() noexcept { return data_.get(); }
  [[nodiscard]] const T* data() const noexcept { return data_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  static constexpr std::size_t k_huge = std::size_t{1} << 21;
  struct Free {
    std::align_val_t alignment{64};  // 0: lent
    void operator()(T* p) const noexcept {
      if (alignment != std::align_val_t{0}) ::operator delete(p, alignment);
    }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace detail

/// A value: copies copy the numbers. T is float, or double for gradient checks.
template <class T>
class Tensor {
 public:
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  /// No elements at all (a scalar is Tensor(Shape{})).
  Tensor() = default;
  /// Zeros.
  explicit Tensor(const Shape& shape) : shape_(shape), size_(shape.size()), buffer_(size_) { fill(T(0)); }
  /// shape.size() numbers as they stand in 64-byte aligned memory that is lent: it must outlive this tensor and
  /// whatever it is moved to. Copies have memory of their own.
  Tensor(const Shape& shape, T* lent) noexcept : shape_(shape), size_(shape.size()), buffer_(lent, size_) {}
  Tensor(const Tensor& other) : shape_(other.shape_), size_(other.size_), buffer_(other.size_) {
    std::copy_n(other.data(), size_, data());
  }
  Tensor(Tensor&& other) noexcept
      : shape_(std::exchange(other.shape_, Shape{})),
        size_(std::exchange(other.size_, 0)),
        buffer_(std::move(other.buffer_)) {}
  Tensor& operator=(Tensor other) noexcept {
    std::swap(shape_, other.shape_);
    std::swap(size_, other.size_);
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~Tensor() = default;

  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] T* data() noexcept { return buffer_.data(); }
  [[nodiscard]] const T* data() const noexcept { return buffer_.data(); }
  [[nodiscard]] std::span<T> span() noexcept { return {data(), size_}; }
  [[nodiscard]] std::span<const T> span() const noexcept { return {data(), size_}; }
  [[nodiscard]] T& operator[](std::size_t i) noexcept { return data()[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return data()[i]; }
  void fill(T value) noexcept { std::fill_n(data(), size_, value); }

  /// Seen as a matrix: the last dimension is a row, the others are counted together.
  [[nodiscard]] std::size_t cols() const noexcept { return shape_.rank() == 0 ? 1 : shape_[shape_.rank() - 1]; }
  [[nodiscard]] std::size_t rows() const noexcept { return size_ == 0 ? 0 : size_ / cols(); }
  [[nodiscard]] auto map() noexcept { return Eigen::Map<Matrix>(data(), index(rows()), index(cols())); }
  [[nodiscard]] auto map() const noexcept { return Eigen::Map<const Matrix>(data(), index(rows()), index(cols())); }

  friend bool operator==(const Tensor& a, const Tensor& b) noexcept {
    return a.size_ == b.size_ && a.shape_ == b.shape_ && std::equal(a.data(), a.data() + a.size_, b.data());
  }

 private:
  static Eigen::Index index(std::size_t n) noexcept { return static_cast<Eigen::Index>(n); }

  Shape shape_;
  std::size_t size_ = 0;
  detail::AlignedBuffer<T> buffer_;
};

}  // namespace v0
}  // namespace midigpt
