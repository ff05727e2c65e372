// core/error.hpp - data errors are values (`Result<T>`), program errors are exceptions (`ShapeError`).
//   Everything that reads bytes we did not write returns Result<T>; the Error names the byte where reading stopped.
//   Without exceptions (-fno-exceptions) value() and the exception classes are absent; ask with `if (!r)`.
#pragma once

#include <cstdint>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#if defined(__cpp_exceptions)
#include <stdexcept>

#include <midigpt/core/concat.hpp>
#endif

namespace midigpt {
inline namespace v0 {

enum class Errc : std::uint8_t {
  truncated,    // input ends inside a field
  bad_magic,    // not this kind of file
  bad_value,    // a field is outside its range
  too_large,    // a declared size exceeds the input or a limit in docs/limits.md
  unsupported,  // a valid file, but a feature this library does not read
  io,           // the operating system said no
};

[[nodiscard]] constexpr const char* errc_name(Errc code) noexcept {
  switch (code) {
    case Errc::truncated: return "truncated";
    case Errc::bad_magic: return "bad magic";
    case Errc::bad_value: return "bad value";
    case Errc::too_large: return "too large";
    case Errc::unsupported: return "unsupported";
    case Errc::io: return "i/o";
  }
  return "unknown";
}

/// What went wrong and where. `offset` is a byte offset in the input (0 where an offset means nothing, as with Errc::io).
struct Error {
  Errc code{};
  std::uint64_t offset = 0;
  std::string what;

  friend bool operator==(const Error&, const Error&) = default;
};

/// One line for people: "byte 1483: track 2: note-on without data byte (truncated)".
[[nodiscard, gnu::cold]] inline std::string describe(const Error& e) {
  const std::string where = e.code == Errc::io ? std::string() : concat({"byte ", e.offset, ": "});
  return concat({where, e.what, " (", errc_name(e.code), ")"});
}

#if defined(__cpp_exceptions)
/// Thrown by Result::value() when there is none.
class Failure : public std::runtime_error {
 public:
  explicit Failure(Error e) : std::runtime_error(describe(e)), error_(std::move(e)) {}
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

/// Wrong use by the program: shapes that do not match, an id outside the vocabulary. Prints both sides.
class ShapeError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};
#endif

/// A value, or the Error that prevented it. Moving one never throws: a T that throws when moved ends the program.
// A union by hand: std::variant takes a compiler three times as long, and half of the library's functions return a Result.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)), ok_(true) {}       // NOLINT: implicit, `return value;`
  Result(Error error) : error_(std::move(error)), ok_(false) {}  // NOLINT: implicit, `return Error{...};`
  Result(const Result& o)
    requires std::is_copy_constructible_v<T>
      : ok_(o.ok_) {
    if (ok_) {
      ::new (static_cast<void*>(&value_)) T(o.value_);
    } else {
      ::new (static_cast<void*>(&error_)) Error(o.error_);
    }
  }
  Result(Result&& o) noexcept : ok_(o.ok_) { take(o); }
  Result& operator=(Result o) noexcept {
    destroy();
    ok_ = o.ok_;
    take(o);
    return *this;
  }
  ~Result() { destroy(); }

  [[nodiscard]] explicit operator bool() const noexcept { return ok_; }

  /// Requires: *this holds a value.
  [[nodiscard]] T& operator*() & noexcept { return value_; }
  [[nodiscard]] const T& operator*() const& noexcept { return value_; }
  [[nodiscard]] T&& operator*() && noexcept { return std::move(value_); }
  [[nodiscard]] T* operator->() noexcept { return &value_; }
  [[nodiscard]] const T* operator->() const noexcept { return &value_; }

  /// Requires: *this holds an error.
  [[nodiscard]] const Error& error() const& noexcept { return error_; }
  [[nodiscard]] Error&& error() && noexcept { return std::move(error_); }

#if defined(__cpp_exceptions)
  /// The value; throws Failure if there is none.
  [[nodiscard]] T& value() & {
    check();
    return value_;
  }
  [[nodiscard]] const T& value() const& {
    check();
    return value_;
  }
  [[nodiscard]] T value() && {
    check();
    return std::move(value_);
  }
#endif

 private:
#if defined(__cpp_exceptions)
  void check() const {
    if (!ok_) throw Failure(error_);
  }
#endif
  void take(Result& o) noexcept {
    if (ok_) {
      ::new (static_cast<void*>(&value_)) T(std::move(o.value_));
    } else {
      ::new (static_cast<void*>(&error_)) Error(std::move(o.error_));
    }
  }
  void destroy() noexcept {
    if (ok_) {
      value_.~T();
    } else {
      error_.~Error();
    }
  }

  union {
    T value_;
    Error error_;
  };
  bool ok_;
};

/// Success without a value, or an Error: `return {};`.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}  // NOLINT: implicit, `return Error{...};`

  [[nodiscard]] explicit operator bool() const noexcept { return ok_; }
  [[nodiscard]] const Error& error() const noexcept { return error_; }

#if defined(__cpp_exceptions)
  void value() const {
    if (!ok_) throw Failure(error_);
  }
#endif

 private:
  Error error_{};
  bool ok_ = true;
};

}  // namespace v0
}  // namespace midigpt
