// Any bytes read as safetensors: what is accepted is written again to a file that says the same, and its numbers can be
// read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include <midigpt/weights/base64.hpp>
#include <midigpt/weights/safetensors.hpp>

namespace {

void check(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace midigpt;
  const ByteSpan bytes = std::as_bytes(std::span(data, size));
  JsonReader json(as_chars(bytes));
  if (json.skip() && json.end()) check(size > 0);
  if (auto decoded = base64_decode(as_chars(bytes))) check(base64_encode(*decoded) == as_chars(bytes));
  auto view = parse_safetensors(bytes);
  if (!view) {
    check(!view.error().what.empty() && view.error().offset <= size + 8);
    return 0;
  }
  std::vector<double> numbers;
  for (const StoredTensor& t : view->tensors) {
    numbers.resize(t.count());
    check(static_cast<bool>(copy_numbers<double>(t, numbers)));
  }
  auto again = safetensors_bytes(view->tensors, view->metadata);
  check(static_cast<bool>(again));
  auto same = parse_safetensors(*again);
  check(same && same->metadata == view->metadata && same->tensors.size() == view->tensors.size());
  for (const StoredTensor& t : view->tensors) {
    const StoredTensor* other = same->find(t.name);
    check(other != nullptr && other->shape == t.shape && other->dtype == t.dtype &&
          std::equal(t.data.begin(), t.data.end(), other->data.begin(), other->data.end()));
  }
  check(safetensors_bytes(same->tensors, same->metadata).value() == *again);
  return 0;
}
