// Makes bpe_variants.golden.json: the ids the reference implementation gives with settings that
// 20B_tokenizer.json does not use.
//   npm install tokenizers        (the Node binding of Hugging Face's Rust library; 0.23.2 was used)
//   node make_bpe_variants.js SMALL_TOKENIZER.json > bpe_variants.golden.json
// SMALL_TOKENIZER.json: 400 tokens, trained by BpeTrainer on a page of mixed text. Each variant is a
// JSON merge patch (RFC 7396) to it.
const fs = require('fs');
const {Tokenizer} = require('tokenizers');

const base = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const byteLevel = (useRegex, prefix) =>
    ({type: 'ByteLevel', add_prefix_space: prefix, trim_offsets: true, use_regex: useRegex});
const sequence = steps => ({pre_tokenizer: {type: 'Sequence', pretokenizers: steps}});
const split = (pattern, behavior, invert) =>
    ({type: 'Split', pattern: {Regex: pattern}, behavior, invert});
const cl100k = '(?i:\'s|\'t|\'re|\'ve|\'m|\'ll|\'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|' +
    ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const size = Object.keys(base.model.vocab).length;
const added = (id, content, flags) => Object.assign({
  id, content, special: false, single_word: false, lstrip: false, rstrip: false, normalized: false}, flags);
const patches = [
  {},
  {normalizer: null, ...{pre_tokenizer: byteLevel(true, true)}},
  {normalizer: {type: 'NFD'}},
  {normalizer: {type: 'NFKC'}},
  {...sequence([split(cl100k, 'Isolated', false), byteLevel(false, false)]), model: {ignore_merges: true}},
  sequence([split(cl100k, 'Removed', true), byteLevel(false, false)]),
  sequence([{type: 'Digits', individual_digits: true}, byteLevel(true, false)]),
  sequence([{type: 'Digits', individual_digits: false}, byteLevel(true, true)]),
  {model: {merges: base.model.merges.map(line => line.split(' '))}},
  {added_tokens: [
    added(0, '<|endoftext|>', {special: true}), added(size, '<mask>', {special: true, lstrip: true}),
    added(size + 1, 'fox', {single_word: true}), added(size + 2, '\u00E9\u00E9', {rstrip: true, normalized: true}),
    added(size + 3, 'e\u0301!', {lstrip: true, rstrip: true, normalized: true}),
    added(size + 4, '  ', {normalized: true}), added(size + 5, '   ', {normalized: true})]},
];
const texts = [
  'The quick brown fox', ' the dog\'s  owner DON\'T don\'t', 'In 1984 12,345 67\u0663', '\n\n  for (i)\r\n\r\n\t{ }  ',
  'caf\u00E9 cafe\u0301 \uFB01ne \u2460 \u00BD', '\u6F22\u5B57\u304B\u306A \u041C\u043E\u0441\u043A\u0432\u0430', 'a<|endoftext|> b<|endoftext|>',
  'x <mask> y<mask>  <mask>\n<mask>z', 'fox foxes _fox fox_ fox\u0301 (fox) \u00FCfox firefox fox', 'x \u00E9\u00E9  y e\u0301e\u0301   z \u00E9\u00E9\u00E9',
  ' e\u0301!  z\u00E9! \u00E9\u00E9  \u00E9! ', 'a  b   c    d     e', '\u{1F600}\u200D\u{1F468} \uAC00\u11A8', '',
];
function mergePatch(target, patch) {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result = typeof target === 'object' && target !== null && !Array.isArray(target) ? {...target} : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

(async () => {
  const variants = [];
  for (const patch of patches) {
    const tokenizer = Tokenizer.fromString(JSON.stringify(mergePatch(base, patch)));
    const cases = [];
    for (const text of texts) {
      cases.push({text, ids: (await tokenizer.encode(text, null, {addSpecialTokens: false})).getIds()});
    }
    variants.push({patch, cases});
  }
  console.log(JSON.stringify({base, variants}));
})();
