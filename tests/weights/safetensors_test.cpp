#include <midigpt/weights/safetensors.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

using namespace midigpt;
using namespace std::string_view_literals;

namespace {

Bytes file_of(std::string_view header, std::size_t data) {
  ByteWriter w;
  w.le(std::uint64_t{header.size()});
  w.raw(header);
  for (std::size_t i = 0; i < data; ++i) w.u8(static_cast<std::uint8_t>(i));
  return std::move(w).take();
}

Bytes sample() {
  const std::array<float, 6> a{1, 2, 3, 4, 5, 6};
  const std::array<double, 1> b{-0.5};
  const std::array<std::uint8_t, 3> c{7, 8, 9};
  const std::vector<StoredTensor> tensors{stored<std::uint8_t>("c", {3}, c), stored<float>("b.weight", {2, 3}, a),
                                          stored<double>("scalar", {}, b), stored<float>("empty", {0, 5}, {})};
  return safetensors_bytes(tensors, {{"format", "pt"}, {"note", "\xF2\x90\x80\x81 \"x\""}}).value();
}

}  // namespace

TEST_CASE("safetensors: what is written reads back, in the order item size then name") {
  const Bytes bytes = sample();
  CHECK(load_le<std::uint64_t>(bytes.data()) % 8 == 0);
  auto view = parse_safetensors(bytes);
  REQUIRE(view);
  REQUIRE(view->tensors.size() == 4);
  CHECK(view->tensors[0].name == "scalar");
  CHECK(view->tensors[1].name == "b.weight");
  CHECK(view->tensors[2].name == "empty");
  CHECK(view->tensors[3].name == "c");
  CHECK(view->metadata.at("note") == "\xF2\x90\x80\x81 \"x\"");
  std::array<float, 6> a{};
  REQUIRE(copy_numbers<float>(*view->find("b.weight"), a));
  CHECK(a == std::array<float, 6>{1, 2, 3, 4, 5, 6});
  CHECK(view->find("b.weight")->shape == std::vector<std::uint64_t>{2, 3});
  std::array<float, 1> s{};
  REQUIRE(copy_numbers<float>(*view->find("scalar"), s));
  CHECK(s[0] == -0.5f);
  CHECK(!copy_numbers<float>(*view->find("c"), a));
  CHECK(view->find("absent") == nullptr);
  // the same tensors in another order give the same bytes
  std::vector<StoredTensor> turned(view->tensors.rbegin(), view->tensors.rend());
  CHECK(safetensors_bytes(turned, view->metadata).value() == bytes);
}

TEST_CASE("safetensors: the strict rules refuse what the reference reader refuses") {
  struct Row {
    const char* name;
    std::string_view header;
    std::size_t data;
    bool good;
  };
  const auto f32 = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"sv;
  for (
      const auto& row :
      {Row{"plain", f32, 8, true},
       Row{"padded", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   )", 8, true},
       Row{"no tensors", "{}", 0, true},
       Row{"tail", f32, 9, false},
       Row{"short", f32, 7, false},
       Row{"leading space", R"( {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8, false},
       Row{"hole at the start", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, false},
       Row{"overlap",
           R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
           8, false},
       Row{"out of order is fine",
           R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
           8, true},
       Row{"size mismatch", R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, false},
       Row{"product overflow", R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]}})", 8,
           false},
       Row{"end before begin", R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[8,0]}})", 8, false},
       Row{"zero dimension", R"({"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}})", 0, true},
       Row{"unknown dtype", R"({"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})", 8, false},
       Row{"duplicate name",
           R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}})",
           8, false},
       Row{"duplicate key", R"({"a":{"dtype":"U8","dtype":"U8","shape":[8],"data_offsets":[0,8]}})", 8, false},
       Row{"extra key", R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8],"x":1}})", 8, false},
       Row{"missing key", R"({"a":{"dtype":"U8","data_offsets":[0,8]}})", 8, false},
       Row{"negative", R"({"a":{"dtype":"U8","shape":[-8],"data_offsets":[0,8]}})", 8, false},
       Row{"fraction", R"({"a":{"dtype":"U8","shape":[8.0],"data_offsets":[0,8]}})", 8, false},
       Row{"three offsets", R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8,8]}})", 8, false},
       Row{"metadata number", R"({"__metadata__":{"steps":5}})", 0, false},
       Row{"metadata twice", R"({"__metadata__":{"a":"1","a":"2"}})", 0, false},
       Row{"metadata two blocks", R"({"__metadata__":{},"__metadata__":{}})", 0, false},
       Row{"array", "[]", 0, false},
       Row{"text after", "{}x", 0, false},
       Row{"bad UTF-8", "{\"\xFF\":1}", 0, false},
       Row{"empty", "", 0, false}}) {
    CAPTURE(row.name);
    auto view = parse_safetensors(file_of(row.header, row.data));
    CHECK(static_cast<bool>(view) == row.good);
  }
}

TEST_CASE("safetensors: every dtype reads as float") {
  struct Row {
    const char* dtype;
    std::size_t size;
    std::uint64_t bits;
    double want;
  };
  for (const auto& row :
       {Row{"F64", 8, 0x3FF8000000000000u, 1.5}, Row{"F32", 4, 0xC0200000u, -2.5}, Row{"F16", 2, 0x3E00u, 1.5},
        Row{"F16", 2, 0x8001u, -0x1p-24}, Row{"F16", 2, 0x7BFFu, 65504}, Row{"BF16", 2, 0x3FC0u, 1.5},
        Row{"I64", 8, 0xFFFFFFFFFFFFFFFEu, -2}, Row{"I32", 4, 0xFFFFFFFEu, -2}, Row{"I16", 2, 0xFFFEu, -2},
        Row{"I8", 1, 0xFEu, -2}, Row{"U8", 1, 0xFEu, 254}, Row{"BOOL", 1, 1, 1}}) {
    CAPTURE(row.dtype);
    Bytes file = file_of(std::string(R"({"a":{"dtype":")") + row.dtype + R"(","shape":[1],"data_offsets":[0,)" +
                             std::to_string(row.size) + "]}}",
                         row.size);
    for (std::size_t i = 0; i < row.size; ++i)
      file[file.size() - row.size + i] = static_cast<std::byte>(row.bits >> (8 * i));
    auto view = parse_safetensors(file);
    REQUIRE(view);
    std::array<double, 1> out{};
    REQUIRE(copy_numbers<double>(view->tensors[0], out));
    CHECK(out[0] == row.want);
  }
  CHECK(std::isinf(detail::safetensors::number_at<float>(Dtype::f16, Bytes{std::byte{0}, std::byte{0x7C}}.data(), 0)));
  CHECK(std::isnan(detail::safetensors::number_at<float>(Dtype::f16, Bytes{std::byte{1}, std::byte{0x7C}}.data(), 0)));
}

TEST_CASE("safetensors: a file cut at any length is an error") {
  const Bytes bytes = sample();
  std::size_t accepted = 0;
  for (std::size_t n = 0; n < bytes.size(); ++n) accepted += parse_safetensors(ByteSpan(bytes).first(n)) ? 1u : 0u;
  CHECK(accepted == 0);
}

TEST_CASE("safetensors: any byte replaced gives an error or a file whose ranges still tile") {
  const Bytes bytes = sample();
  std::size_t wrong = 0;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      Bytes hurt = bytes;
      hurt[at] = static_cast<std::byte>(value);
      auto view = parse_safetensors(hurt);
      if (!view) continue;
      std::size_t sum = 8 + static_cast<std::size_t>(load_le<std::uint64_t>(hurt.data()));
      for (const StoredTensor& t : view->tensors) sum += t.data.size();
      wrong += sum == hurt.size() ? 0u : 1u;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("safetensors: hostile lengths are refused before memory is asked for") {
  const Bytes bytes = sample();
  for (const std::uint64_t length :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x7FFFFFFF}, std::uint64_t{0xFFFFFFFF},
        std::uint64_t{1} << 63, UINT64_MAX, std::uint64_t{k_safetensors_max_header}, std::uint64_t{bytes.size()}}) {
    CAPTURE(length);
    Bytes hurt = bytes;
    for (std::size_t i = 0; i < 8; ++i) hurt[i] = static_cast<std::byte>(length >> (8 * i));
    CHECK(!parse_safetensors(hurt));
  }
  for (const char* number : {"0", "1", "2147483647", "4294967295", "9223372036854775808", "18446744073709551615"}) {
    for (const int which : {0, 1, 2}) {
      CAPTURE(number);
      CAPTURE(which);
      const std::string n = number;
      const std::string header = R"({"a":{"dtype":"F32","shape":[)" + (which == 0 ? n : "3") + R"(],"data_offsets":[)" +
                                 (which == 1 ? n : "0") + "," + (which == 2 ? n : "12") + "]}}";
      const bool unchanged = which == 1 && n == "0";
      CHECK(static_cast<bool>(parse_safetensors(file_of(header, 12))) == unchanged);
    }
  }
}

TEST_CASE("safetensors: writing refuses tensors that lie and names that clash") {
  const std::array<float, 2> x{1, 2};
  CHECK(!safetensors_bytes(std::vector{stored<float>("a", {3}, x)}));
  CHECK(!safetensors_bytes(std::vector{stored<float>("a", {2}, x), stored<float>("a", {2}, x)}));
  CHECK(!safetensors_bytes(std::vector{stored<float>("__metadata__", {2}, x)}));
}

TEST_CASE("safetensors: a file on disk is the bytes in memory, and errors carry its name") {
  const std::string path = "safetensors_test.tmp";
  const Bytes bytes = sample();
  auto view = parse_safetensors(bytes);
  REQUIRE(write_safetensors(path, view->tensors, view->metadata));
  CHECK(read_file(path).value() == bytes);
  auto file = read_safetensors(path);
  REQUIRE(file);
  SafetensorsFile moved = *std::move(file);
  CHECK(moved.find("c")->data.size() == 3);
  CHECK(moved.find("c")->data[2] == std::byte{9});
  std::remove(path.c_str());
  auto none = read_safetensors(path);
  REQUIRE(!none);
  CHECK(none.error().code == Errc::io);
  CHECK(none.error().what.find(path) != std::string::npos);
}
