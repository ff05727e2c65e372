// token/token_file.hpp - ids on disk: written as they come, read by mapping the file.
//   Layout, little-endian: "MGTOKENS", u32 version 1, u32 bytes per id (2 or 4), u64 vocabulary size, then the ids to the
//   end of the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace midigpt {
inline namespace v0 {

namespace detail::token_file {

inline constexpr std::size_t k_header_bytes = 24;
inline constexpr char k_magic[9] = "MGTOKENS";

/// A file's bytes: mapped where the system can, read elsewhere.
class Mapping {
 public:
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  Mapping(Mapping&& other) noexcept
      : copy_(std::move(other.copy_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(copy_, other.copy_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping() {
#if !defined(_WIN32)
    if (data_ != nullptr) ::munmap(data_, size_);
#endif
  }

  [[nodiscard]] static Result<Mapping> open(const std::string& path) {
    Mapping m;
#if defined(_WIN32)
    auto bytes = read_file(path, std::uint64_t{1} << 62);
    if (!bytes) return bytes.error();
    m.copy_ = *std::move(bytes);
#else
    const int fd = ::open(path.c_str(), O_RDONLY);
    if (fd < 0) return io_error("cannot open", path);
    struct ::stat status {};
    if (::fstat(fd, &status) != 0) {
      Error e = io_error("cannot read", path);
      ::close(fd);
      return e;
    }
    m.size_ = static_cast<std::size_t>(status.st_size);
    void* const data = m.size_ == 0 ? nullptr : ::mmap(nullptr, m.size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const bool failed = data == MAP_FAILED;
    Error e = failed ? io_error("cannot map", path) : Error{};
    ::close(fd);
    if (failed) return e;
    m.data_ = data;
#endif
    return m;
  }

  [[nodiscard]] ByteSpan bytes() const noexcept {
    if (data_ != nullptr) return {static_cast<const std::byte*>(data_), size_};
    return copy_;
  }

 private:
  Bytes copy_;
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace detail::token_file

/// Streams ids to a file that takes its name when commit() succeeds; memory does not grow with it.
class TokenFileWriter {
 public:
  /// Ids take two bytes when the vocabulary fits, else four.
  [[nodiscard]] static Result<TokenFileWriter> create(const std::string& path, std::int32_t vocab_size) {
    if (vocab_size < 1) return Error{Errc::bad_value, 0, concat({"token file: vocabulary of ", vocab_size})};
    auto file = AtomicFile::create(path);
    if (!file) return file.error();
    TokenFileWriter w(*std::move(file), vocab_size);
    if (auto r = w.file_.write(w.header()); !r) return r.error();
    return w;
  }

  /// An id outside the vocabulary is an error, and nothing of `ids` is written.
  [[nodiscard]] Result<void> append(std::span<const std::int32_t> ids) {
    block_.clear();
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= vocab_size_) {
        return Error{Errc::bad_value, count_, concat({"token file: id ", id, " of a vocabulary of ", vocab_size_})};
      }
      for (std::size_t i = 0; i < width_; ++i) block_.push_back(static_cast<std::byte>(static_cast<std::uint32_t>(id) >> (8 * i)));
    }
    count_ += ids.size();
    return file_.write(block_);
  }

  [[nodiscard]] std::uint64_t size() const noexcept { return count_; }

  /// Gives the file its name. Call once, last.
  [[nodiscard]] Result<void> commit() { return file_.commit(); }

 private:
  TokenFileWriter(AtomicFile file, std::int32_t vocab_size)
      : file_(std::move(file)), vocab_size_(vocab_size), width_(vocab_size <= 0x10000 ? 2 : 4) {}

  [[nodiscard]] Bytes header() const {
    ByteWriter out;
    out.raw(detail::token_file::k_magic);
    out.le(std::uint32_t{1});
    out.le(static_cast<std::uint32_t>(width_));
    out.le(static_cast<std::uint64_t>(vocab_size_));
    return std::move(out).take();
  }

  AtomicFile file_;
  std::int32_t vocab_size_;
  std::size_t width_;
  std::uint64_t count_ = 0;
  Bytes block_;
};

/// A mapped file of ids. Immutable: safe to share between threads.
class TokenFile {
 public:
  [[nodiscard]] static Result<TokenFile> open(const std::string& path) {
    auto mapping = detail::token_file::Mapping::open(path);
    if (!mapping) return mapping.error();
    TokenFile f(*std::move(mapping));
    ByteReader in(f.mapping_.bytes());
    const auto magic = in.take(8);
    if (!magic) return Error{Errc::truncated, 0, "token file: no header"};
    if (as_chars(*magic) != detail::token_file::k_magic) return Error{Errc::bad_magic, 0, "not a token file: " + path};
    const auto version = in.le<std::uint32_t>(), width = in.le<std::uint32_t>();
    const auto vocab = in.le<std::uint64_t>();
    if (!version || !width || !vocab) return Error{Errc::truncated, in.offset(), "token file: header cut short"};
    if (*version != 1) return Error{Errc::unsupported, 8, concat({"token file: version ", *version})};
    if (*width != 2 && *width != 4) return Error{Errc::bad_value, 12, concat({"token file: ids of ", *width, " bytes"})};
    if (*vocab < 1 || *vocab > 0x7FFFFFFFu) return Error{Errc::bad_value, 16, concat({"token file: vocabulary of ", *vocab})};
    if (in.left() % *width != 0) return Error{Errc::truncated, in.offset() + in.left(), "token file: ends inside an id"};
    f.ids_ = f.mapping_.bytes().subspan(detail::token_file::k_header_bytes);
    f.width_ = *width;
    f.size_ = f.ids_.size() / *width;
    f.vocab_size_ = static_cast<std::int32_t>(*vocab);
    return f;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::int32_t vocab_size() const noexcept { return vocab_size_; }

  /// Requires: i < size(). An id outside the vocabulary (a damaged file) is given as 0.
  [[nodiscard]] std::int32_t operator[](std::size_t i) const noexcept {
    const std::byte* const p = ids_.data() + i * width_;
    const std::uint32_t id = width_ == 2 ? load_le<std::uint16_t>(p) : load_le<std::uint32_t>(p);
    return id < static_cast<std::uint32_t>(vocab_size_) ? static_cast<std::int32_t>(id) : 0;
  }

  /// Copies ids [at, at + out.size()). Requires: they are there.
  void copy(std::size_t at, std::span<std::int32_t> out) const noexcept {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = (*this)[at + i];
  }

  [[nodiscard]] std::vector<std::int32_t> all() const {
    std::vector<std::int32_t> out(size_);
    copy(0, out);
    return out;
  }

 private:
  explicit TokenFile(detail::token_file::Mapping mapping) : mapping_(std::move(mapping)) {}

  detail::token_file::Mapping mapping_;
  ByteSpan ids_;  // into the mapping: moving a TokenFile moves no bytes
  std::size_t width_ = 2, size_ = 0;
  std::int32_t vocab_size_ = 0;
};

}  // namespace v0
}  // namespace midigpt
