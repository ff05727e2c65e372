// weights/safetensors.hpp - named tensors in one file: u64 N, N bytes of JSON, then the numbers, little-endian and
// row-major.
//   Strict as the reference reader: names are unique, ranges tile the buffer without hole or tail, sizes are shape x
//   item. Writing is reproducible: tensors by descending item size then name, metadata by key, header padded to 8
//   bytes.
#pragma once

#include <bit>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <midigpt/core/bytes.hpp>
#include <midigpt/core/concat.hpp>
#include <midigpt/core/error.hpp>
#include <midigpt/core/file.hpp>
#include <midigpt/core/sort.hpp>
#include <midigpt/weights/json.hpp>

namespace midigpt {
inline namespace v0 {

enum class Dtype : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

[[nodiscard]] constexpr std::string_view dtype_name(Dtype d) noexcept {
  constexpr std::string_view names[] = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"};
  return names[static_cast<std::size_t>(d)];
}

/// Bytes of one number.
[[nodiscard]] constexpr std::size_t dtype_size(Dtype d) noexcept {
  constexpr std::uint8_t sizes[] = {8, 4, 2, 2, 8, 4, 2, 1, 1, 1};
  return sizes[static_cast<std::size_t>(d)];
}

/// One tensor of a file: `data` looks into bytes that somebody else owns. Shape {} is a scalar.
struct StoredTensor {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::uint64_t> shape;
  ByteSpan data;

  [[nodiscard]] std::uint64_t count() const noexcept { return data.size() / dtype_size(dtype); }
};

using Metadata = std::map<std::string, std::string>;

/// What a file holds, in file order; the tensors look into the bytes that were parsed.
struct SafetensorsView {
  Metadata metadata;
  std::vector<StoredTensor> tensors;

  [[nodiscard]] const StoredTensor* find(std::string_view name) const noexcept {
    for (const StoredTensor& t : tensors) {
      if (t.name == name) return &t;
    }
    return nullptr;
  }
};

/// A view together with its bytes. Moves keep the view valid; copies are not made.
struct SafetensorsFile : SafetensorsView {
  SafetensorsFile(Bytes b, SafetensorsView v) : SafetensorsView(std::move(v)), bytes(std::move(b)) {}
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  Bytes bytes;
};

inline constexpr std::uint64_t k_safetensors_max_header = 100'000'000;

namespace detail::safetensors {

struct Range {
  std::uint64_t begin = 0, end = 0, at = 0;  // at: byte of its header entry, for messages
};

/// Reads `{"dtype": .., "shape": [..], "data_offsets": [b, e]}`.
[[nodiscard, gnu::cold]] inline Result<void> read_entry(JsonReader& json, StoredTensor& tensor, Range& range) {
  range.at = json.offset();
  bool have_dtype = false, have_shape = false, have_offsets = false;
  if (auto r = json.begin_object(); !r) return r;
  std::string key;
  for (;;) {
    auto more = json.next_key(key);
    if (!more) return more.error();
    if (!*more) break;
    const auto once = [&](bool& have) { return !std::exchange(have, true); };
    if (key == "dtype" && once(have_dtype)) {
      auto name = json.string();
      if (!name) return name.error();
      bool known = false;
      for (int d = 0; d <= static_cast<int>(Dtype::boolean); ++d) {
        if (*name != dtype_name(static_cast<Dtype>(d))) continue;
        tensor.dtype = static_cast<Dtype>(d);
        known = true;
      }
      if (!known)
        return Error{Errc::unsupported, range.at,
                     "tensor '" + tensor.name + "': dtype '" + *name + "' is not read here"};
    } else if ((key == "shape" && once(have_shape)) || (key == "data_offsets" && once(have_offsets))) {
      std::vector<std::uint64_t> numbers;
      if (auto r = json.begin_array(); !r) return r;
      for (;;) {
        auto element = json.next_element();
        if (!element) return element.error();
        if (!*element) break;
        auto n = json.whole();
        if (!n) return n.error();
        if (numbers.size() == 64)
          return Error{Errc::too_large, json.offset(), concat({"tensor '", tensor.name, "': more than 64 dimensions"})};
        numbers.push_back(*n);
      }
      if (key == "shape") {
        tensor.shape = std::move(numbers);
      } else if (numbers.size() == 2) {
        range.begin = numbers[0];
        range.end = numbers[1];
      } else {
        return Error{Errc::bad_value, range.at, concat({"tensor '", tensor.name, "': data_offsets needs two numbers"})};
      }
    } else {
      return Error{Errc::bad_value, json.offset(),
                   concat({"tensor '", tensor.name, "': unexpected or repeated key '", key, "'"})};
    }
  }
  if (!have_dtype || !have_shape || !have_offsets) {
    return Error{Errc::bad_value, range.at, concat({"tensor '", tensor.name, "': needs dtype, shape and data_offsets"})};
  }
  return {};
}

[[nodiscard, gnu::cold]] inline Result<void> read_metadata(JsonReader& json, Metadata& metadata) {
  if (auto r = json.begin_object(); !r) return r;
  std::string key;
  for (;;) {
    auto more = json.next_key(key);
    if (!more) return more.error();
    if (!*more) return {};
    const std::uint64_t at = json.offset();
    auto value = json.string();
    if (!value) return value.error();
    if (!metadata.emplace(key, *std::move(value)).second)
      return Error{Errc::bad_value, at, concat({"metadata key '", key, "' twice"})};
  }
}

/// Size in bytes that shape and dtype ask for; false when it does not fit 64 bits.
[[nodiscard]] inline bool byte_size(const StoredTensor& tensor, std::uint64_t& bytes) noexcept {
  bytes = dtype_size(tensor.dtype);
  bool zero = false;
  for (const std::uint64_t d : tensor.shape) zero = zero || d == 0;
  if (zero) {
    bytes = 0;
    return true;
  }
  for (const std::uint64_t d : tensor.shape) {
    if (bytes > UINT64_MAX / d) return false;
    bytes *= d;
  }
  return true;
}

[[nodiscard, gnu::cold]] inline Result<void> check_ranges(SafetensorsView& view, const std::vector<Range>& ranges,
                                               ByteSpan buffer) {
  const auto order = sorted_order(ranges.size(), [&](std::size_t a, std::size_t b) {
    return std::pair(ranges[a].begin, ranges[a].end) < std::pair(ranges[b].begin, ranges[b].end);
  });
  std::uint64_t at = 0;
  std::vector<StoredTensor> sorted;
  sorted.reserve(order.size());
  for (const std::size_t i : order) {
    StoredTensor& tensor = view.tensors[i];
    const Range& range = ranges[i];
    std::uint64_t want = 0;
    if (range.begin != at || range.end < range.begin || range.end > buffer.size()) {
      return Error{Errc::bad_value, range.at,
                   concat({"tensor '", tensor.name, "': bytes ", range.begin, " to ", range.end, " do not follow ", at, " within ",
                       buffer.size()})};
    }
    if (!byte_size(tensor, want) || want != range.end - range.begin) {
      return Error{Errc::bad_value, range.at,
                   concat({"tensor '", tensor.name, "': ", range.end - range.begin, " bytes do not match shape and dtype"})};
    }
    tensor.data = buffer.subspan(static_cast<std::size_t>(range.begin), static_cast<std::size_t>(want));
    at = range.end;
    sorted.push_back(std::move(tensor));
  }
  if (at != buffer.size()) {
    return Error{Errc::bad_value, 0,
                 concat({buffer.size() - at, " bytes after the last tensor belong to none"})};
  }
  view.tensors = std::move(sorted);
  return {};
}

/// Little-endian number i of `data` as a double (or float) value.
template <class T>
[[nodiscard]] T number_at(Dtype dtype, const std::byte* data, std::size_t i) noexcept {
  switch (dtype) {
    case Dtype::f64:
      return static_cast<T>(std::bit_cast<double>(load_le<std::uint64_t>(data + 8 * i)));
    case Dtype::f32:
      return static_cast<T>(std::bit_cast<float>(load_le<std::uint32_t>(data + 4 * i)));
    case Dtype::bf16:
      return static_cast<T>(std::bit_cast<float>(std::uint32_t{load_le<std::uint16_t>(data + 2 * i)} << 16));
    case Dtype::f16: {
      const std::uint32_t h = load_le<std::uint16_t>(data + 2 * i);
      const std::uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31u, fraction = h & 0x3FFu;
      if (exponent == 31) return static_cast<T>(std::bit_cast<float>(sign | 0x7F800000u | fraction << 13));
      if (exponent != 0) return static_cast<T>(std::bit_cast<float>(sign | (exponent + 112u) << 23 | fraction << 13));
      const float tiny = static_cast<float>(fraction) * 0x1p-24f;
      return static_cast<T>(sign != 0 ? -tiny : tiny);
    }
    case Dtype::i64:
      return static_cast<T>(static_cast<std::int64_t>(load_le<std::uint64_t>(data + 8 * i)));
    case Dtype::i32:
      return static_cast<T>(static_cast<std::int32_t>(load_le<std::uint32_t>(data + 4 * i)));
    case Dtype::i16:
      return static_cast<T>(static_cast<std::int16_t>(load_le<std::uint16_t>(data + 2 * i)));
    case Dtype::i8:
      return static_cast<T>(static_cast<std::int8_t>(std::to_integer<std::uint8_t>(data[i])));
    case Dtype::u8:
    case Dtype::boolean:
      return static_cast<T>(std::to_integer<std::uint8_t>(data[i]));
  }
  return T{};
}

}  // namespace detail::safetensors

/// Checks everything but the values of the numbers; allocates no more than a small multiple of the header.
[[nodiscard, gnu::cold]] inline Result<SafetensorsView> parse_safetensors(ByteSpan file) {
  namespace st = detail::safetensors;
  ByteReader in(file);
  auto length = in.le<std::uint64_t>();
  if (!length) return length.error();
  if (*length > k_safetensors_max_header)
    return Error{Errc::too_large, 0, concat({"header of ", *length, " bytes"})};
  auto header = in.take(*length);
  if (!header) return header.error();
  if (header->empty() || (*header)[0] != std::byte{'{'})
    return Error{Errc::bad_magic, 8, "not safetensors: the header does not begin with '{'"};

  SafetensorsView view;
  std::vector<st::Range> ranges;
  std::set<std::string> names;
  JsonReader json(as_chars(*header), 8);
  if (auto r = json.begin_object(); !r) return r.error();
  std::string key;
  for (;;) {
    auto more = json.next_key(key);
    if (!more) return more.error();
    if (!*more) break;
    if (!names.insert(key).second) return Error{Errc::bad_value, json.offset(), concat({"name '", key, "' twice"})};
    if (key == "__metadata__") {
      if (auto r = st::read_metadata(json, view.metadata); !r) return r.error();
      continue;
    }
    StoredTensor& tensor = view.tensors.emplace_back();
    tensor.name = key;
    if (auto r = st::read_entry(json, tensor, ranges.emplace_back()); !r) return r.error();
  }
  if (auto r = json.end(); !r) return r.error();
  if (auto r = st::check_ranges(view, ranges, file.subspan(static_cast<std::size_t>(in.offset()))); !r)
    return r.error();
  return view;
}

[[nodiscard, gnu::cold]] inline Result<SafetensorsFile> read_safetensors(const std::string& path,
                                                              std::uint64_t max_bytes = std::uint64_t{1} << 36) {
  auto bytes = read_file(path, max_bytes);
  if (!bytes) return bytes.error();
  auto view = parse_safetensors(*bytes);
  if (!view) {
    Error e = std::move(view).error();
    e.what = concat({path, ": ", e.what});
    return e;
  }
  return SafetensorsFile(*std::move(bytes), *std::move(view));
}

/// The numbers of `tensor` as T, whatever its dtype. Errc::bad_value when `out` has another size.
template <class T>
[[nodiscard]] Result<void> copy_numbers(const StoredTensor& tensor, std::span<T> out) {
  if (tensor.count() != out.size()) {
    return Error{Errc::bad_value, 0,
                 concat({"tensor '", tensor.name, "' has ", tensor.count(), " numbers, expected ", out.size()})};
  }
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = detail::safetensors::number_at<T>(tensor.dtype, tensor.data.data(), i);
  return {};
}

/// A tensor of numbers in memory, ready to be written. Requires a little-endian machine; `values` must outlive the
/// result.
template <class T>
[[nodiscard]] StoredTensor stored(std::string name, std::vector<std::uint64_t> shape, std::span<const T> values) {
  static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");
  constexpr Dtype dtype = std::is_same_v<T, double>         ? Dtype::f64
                          : std::is_same_v<T, float>        ? Dtype::f32
                          : std::is_same_v<T, std::int64_t> ? Dtype::i64
                          : std::is_same_v<T, std::int32_t> ? Dtype::i32
                                                            : Dtype::u8;
  static_assert(sizeof(T) == dtype_size(dtype));
  return {std::move(name), dtype, std::move(shape), std::as_bytes(values)};
}

/// The first bytes of a file: length and header. The tensors' data follow in `order`.
struct SafetensorsHeader {
  std::string bytes;
  std::vector<std::size_t> order;  // indices into the tensors given
};

/// Requires: unique names, none "__metadata__", and data that match shape and dtype (Errc::bad_value otherwise).
[[nodiscard, gnu::cold]] inline Result<SafetensorsHeader> safetensors_header(std::span<const StoredTensor> tensors,
                                                                  const Metadata& metadata) {
  SafetensorsHeader out;
  const auto order = sorted_order(tensors.size(), [&](std::size_t a, std::size_t b) {
    const std::size_t sa = dtype_size(tensors[a].dtype), sb = dtype_size(tensors[b].dtype);
    return sa != sb ? sa > sb : tensors[a].name < tensors[b].name;
  });
  out.order.assign(order.begin(), order.end());
  std::string json = "{";
  const auto comma = [&json] { json += json.size() > 1 ? "," : ""; };
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    bool first = true;
    for (const auto& [key, value] : metadata) {
      append(json, {std::exchange(first, false) ? "" : ",", json_quote(key), ":", json_quote(value)});
    }
    json += "}";
  }
  std::uint64_t at = 0;
  std::set<std::string> names{"__metadata__"};
  for (const std::size_t i : out.order) {
    const StoredTensor& t = tensors[i];
    std::uint64_t want = 0;
    if (!names.insert(t.name).second)
      return Error{Errc::bad_value, 0, concat({"tensor name '", t.name, "' twice or reserved"})};
    if (!detail::safetensors::byte_size(t, want) || want != t.data.size()) {
      return Error{Errc::bad_value, 0,
                   concat({"tensor '", t.name, "': ", t.data.size(), " bytes do not match shape and dtype"})};
    }
    comma();
    append(json, {json_quote(t.name), ":{\"dtype\":\"", dtype_name(t.dtype), "\",\"shape\":["});
    for (std::size_t d = 0; d < t.shape.size(); ++d) append(json, {d == 0 ? "" : ",", t.shape[d]});
    append(json, {"],\"data_offsets\":[", at, ",", at + want, "]}"});
    at += want;
  }
  json += "}";
  json.append((8 - json.size() % 8) % 8, ' ');
  for (int i = 0; i < 8; ++i) out.bytes.push_back(static_cast<char>(json.size() >> (8 * i) & 0xFFu));
  out.bytes += json;
  return out;
}

/// The whole file in memory.
[[nodiscard]] inline Result<Bytes> safetensors_bytes(std::span<const StoredTensor> tensors,
                                                     const Metadata& metadata = {}) {
  auto header = safetensors_header(tensors, metadata);
  if (!header) return header.error();
  ByteWriter out;
  out.raw(header->bytes);
  for (const std::size_t i : header->order) out.raw(tensors[i].data);
  return std::move(out).take();
}

/// Streams the file to disk and replaces `path` atomically.
[[nodiscard, gnu::cold]] inline Result<void> write_safetensors(const std::string& path, std::span<const StoredTensor> tensors,
                                                    const Metadata& metadata = {}) {
  auto header = safetensors_header(tensors, metadata);
  if (!header) return header.error();
  auto file = AtomicFile::create(path);
  if (!file) return file.error();
  if (auto r = file->write(as_byte_span(header->bytes)); !r) return r;
  for (const std::size_t i : header->order) {
    if (auto r = file->write(tensors[i].data); !r) return r;
  }
  return file->commit();
}

}  // namespace v0
}  // namespace midigpt
