#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

#include <midigpt/token/train_options.hpp>

using namespace midigpt;

TEST_CASE("train options: specials, ids and symbols are checked as spm_train checks them") {
  TrainerSpec s;
  s.unk_id = 2;
  s.bos_id = 0;
  s.eos_id = -1;
  s.control_symbols = {"<c>", "<s>"};
  s.user_defined_symbols = {"<u>", "<pad>"};
  const auto metas = detail::token_train::meta_pieces(s);
  REQUIRE(metas);
  std::string shown;
  for (const auto& m : *metas) shown += std::to_string(m.id) + m.text + std::to_string(static_cast<int>(m.type)) + ' ';
  CHECK(shown == "0<s>3 1<c>3 2<unk>2 3<u>4 4<pad>4 ");
  for (const auto& [unk, bos, eos] : {std::array{-1, 1, 2}, std::array{0, 0, 2}, std::array{0, 1, 8000}}) {
    TrainerSpec bad;
    bad.unk_id = unk;
    bad.bos_id = bos;
    bad.eos_id = eos;
    CHECK(!detail::token_train::meta_pieces(bad));
  }
}
