// core/file.hpp - whole files in, whole files out: a reader with a size cap, a writer that replaces atomically.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>

#if !defined(_WIN32)
#include <fcntl.h>
#include <unistd.h>
#endif

namespace midigpt {
inline namespace v0 {

namespace detail {

[[nodiscard, gnu::cold]] inline Error io_error(const std::string& verb, const std::string& path) {
  return Error{Errc::io, 0, concat({verb, " ", path, ": ", std::strerror(errno)})};
}

struct FileCloser {
  std::FILE* f;
  ~FileCloser() {
    if (f != nullptr) std::fclose(f);
  }
};

}  // namespace detail

/// The bytes of a file of at most `max_bytes`. Grows while reading, so a lying size cannot drive allocation.
[[nodiscard]] inline Result<Bytes> read_file(const std::string& path, std::uint64_t max_bytes = std::uint64_t{1} << 32) {
  const detail::FileCloser file{std::fopen(path.c_str(), "rb")};
  if (file.f == nullptr) return detail::io_error("cannot open", path);
  Bytes out;
  std::size_t block = std::size_t{1} << 16;
  for (;;) {
    const std::size_t have = out.size();
    out.resize(have + block);
    const std::size_t got = std::fread(out.data() + have, 1, block, file.f);
    out.resize(have + got);
    if (out.size() > max_bytes) {
      return Error{Errc::too_large, max_bytes, concat({path, ": larger than ", max_bytes, " bytes"})};
    }
    if (got < block) {
      if (std::ferror(file.f) != 0) return detail::io_error("cannot read", path);
      return out;
    }
    block = out.size();
  }
}

/// A file that appears under its name only when commit() has succeeded: written beside it, fsynced, then renamed.
/// Destroyed uncommitted, it leaves nothing behind.
class AtomicFile {
 public:
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  AtomicFile(AtomicFile&& other) noexcept
      : path_(std::move(other.path_)), temp_(std::move(other.temp_)), file_(std::exchange(other.file_, nullptr)) {}
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile() {
    if (file_ == nullptr) return;
    std::fclose(file_);
    std::remove(temp_.c_str());
  }

  [[nodiscard]] static Result<AtomicFile> create(const std::string& path) {
#if defined(_WIN32)
    std::string temp = path + ".tmp";
#else
    std::string temp = concat({path, ".tmp", ::getpid()});
#endif
    std::FILE* f = std::fopen(temp.c_str(), "wb");
    if (f == nullptr) return detail::io_error("cannot write", path);
    return AtomicFile(path, std::move(temp), f);
  }

  [[nodiscard]] Result<void> write(ByteSpan bytes) {
    if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) {
      return detail::io_error("cannot write", path_);
    }
    return {};
  }

  /// Flushes to the disk and takes the final name. Call once, last.
  [[nodiscard]] Result<void> commit() {
    bool ok = std::fflush(file_) == 0;
#if !defined(_WIN32)
    ok = ok && ::fsync(::fileno(file_)) == 0;
#endif
    ok = std::fclose(std::exchange(file_, nullptr)) == 0 && ok;
#if defined(_WIN32)
    if (ok) std::remove(path_.c_str());
#endif
    ok = ok && std::rename(temp_.c_str(), path_.c_str()) == 0;
    if (!ok) {
      Error e = detail::io_error("cannot write", path_);
      std::remove(temp_.c_str());
      return e;
    }
#if !defined(_WIN32)
    const std::size_t slash = path_.find_last_of('/');  // the new name itself must survive a power cut
    const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
    const int fd = ::open(folder.c_str(), O_RDONLY);
    if (fd >= 0) {
      ::fsync(fd);
      ::close(fd);
    }
#endif
    return {};
  }

 private:
  AtomicFile(std::string path, std::string temp, std::FILE* f) : path_(std::move(path)), temp_(std::move(temp)), file_(f) {}

  std::string path_, temp_;
  std::FILE* file_ = nullptr;
};

/// Replaces `path` with `bytes`, or leaves what was there.
[[nodiscard]] inline Result<void> write_file_atomic(const std::string& path, ByteSpan bytes) {
  auto file = AtomicFile::create(path);
  if (!file) return file.error();
  if (auto r = file->write(bytes); !r) return r;
  return file->commit();
}

[[nodiscard]] inline Result<void> write_file_atomic(const std::string& path, std::string_view text) {
  return write_file_atomic(path, as_byte_span(text));
}

}  // namespace v0
}  // namespace midigpt
