#include <midigpt/weights/json.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace midigpt;
using namespace std::string_view_literals;

TEST_CASE("json: skip accepts exactly the texts RFC 8259 accepts") {
  struct Row {
    std::string_view text;
    bool good;
  };
  for (const auto& row : {Row{"{}", true},
                          Row{"[]", true},
                          Row{" [1, 2.5e-3 , -0, \"x\", true, null, {\"a\":[{}]}] ", true},
                          Row{"\"\\ud83c\\udfb5 \\n\\/\"", true},
                          Row{"1e308", true},
                          Row{"0.5", true},
                          Row{"-12E+2", true},
                          Row{"", false},
                          Row{"{", false},
                          Row{"[1,]", false},
                          Row{"{\"a\":1,}", false},
                          Row{"{\"a\" 1}", false},
                          Row{"{a:1}", false},
                          Row{"[1 2]", false},
                          Row{"01", false},
                          Row{"1.", false},
                          Row{".5", false},
                          Row{"+1", false},
                          Row{"1e", false},
                          Row{"1e999", false},
                          Row{"nul", false},
                          Row{"tru", false},
                          Row{"[1]]", false},
                          Row{"{}{}", false},
                          Row{"\"\\ud83c\"", false},
                          Row{"\"\\udfb5\"", false},
                          Row{"\"\\ud83c\\u0041\"", false},
                          Row{"\"\\x41\"", false},
                          Row{"\"\t\"", false},
                          Row{"\"abc", false},
                          Row{"\"\xC0\x80\"", false},
                          Row{"[}", false},
                          Row{"{]", false},
                          Row{"//x\n1", false},
                          Row{"\"\\u12\"", false},
                          Row{"]", false}}) {
    CAPTURE(row.text);
    JsonReader json(row.text);
    bool good = false;
    if (auto r = json.skip()) good = static_cast<bool>(json.end());
    CHECK(good == row.good);
  }
}

TEST_CASE("json: nesting ends at its limit, however deep the text is") {
  for (const int depth : {1, k_json_depth, k_json_depth + 1, 1000000}) {
    CAPTURE(depth);
    const std::string text =
        std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
    JsonReader json(text);
    auto r = json.skip();
    CHECK(static_cast<bool>(r) == (depth <= k_json_depth));
    if (!r) CHECK(r.error().code == Errc::too_large);
  }
}

TEST_CASE("json: whole numbers fit 64 bits exactly") {
  struct Row {
    std::string_view text;
    bool good;
    std::uint64_t value;
  };
  for (const auto& row :
       {Row{"0", true, 0}, Row{"18446744073709551615", true, UINT64_MAX}, Row{"18446744073709551616", false, 0},
        Row{"99999999999999999999999", false, 0}, Row{"-1", false, 0}, Row{"1.0", false, 0}, Row{"1e3", false, 0},
        Row{"00", false, 0}, Row{"", false, 0}}) {
    CAPTURE(row.text);
    auto r = JsonReader(row.text).whole();
    CHECK(static_cast<bool>(r) == row.good);
    if (r) CHECK(*r == row.value);
  }
}

TEST_CASE("json: numbers and strings read back as they were written") {
  for (const double v : {0.0, 1.0, -1.5, 1e-5, 0.1, 3e-3, 123456789.0, 1e22, 1e-22, 0.30000000000000004}) {
    CAPTURE(v);
    const std::string text = json_number(v);
    auto r = JsonReader(text).number();
    REQUIRE(r);
    CHECK(static_cast<float>(*r) == static_cast<float>(v));
    CHECK(*r == doctest::Approx(v).epsilon(1e-15));
  }
  for (const std::string& s : {std::string("plain"), std::string("\"\\\n\x01\x7F"),
                               std::string("\xF2\x90\x80\x81 \xF3\x9F\xBF\xBE"), std::string(1, '\0')}) {
    const std::string quoted = json_quote(s);
    auto r = JsonReader(quoted).string();
    REQUIRE(r);
    CHECK(*r == s);
  }
  CHECK(json_quote("\xF3\x9F\xBF\xBE") == "\"\\udb3f\\udffe\"");  // U+DFFFE is a non-character: escaped
}

TEST_CASE("json: errors name the byte in the file") {
  JsonReader json(R"({"a": x})", 100);
  REQUIRE(json.begin_object());
  std::string key;
  REQUIRE(*json.next_key(key));
  auto r = json.whole();
  REQUIRE(!r);
  CHECK(r.error().offset == 106);
}
