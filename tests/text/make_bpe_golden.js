// Makes bpe_20b.golden.jsonl: texts and the ids that the reference implementation gives them.
//   npm install tokenizers        (the Node binding of Hugging Face's Rust library; 0.23.2 was used)
//   node make_bpe_golden.js SHARED > bpe_20b.golden.jsonl
// SHARED holds tokenizer/20B_tokenizer.json and data/. A line is {"text", "ids"} or, for a file of
// SHARED/data, {"file", "latin1", "count", "hash"}: FNV-1a of the ids, four bytes each, little-endian.
const fs = require('fs');
const path = require('path');
const {Tokenizer} = require('tokenizers');

const shared = process.argv[2];
const tokenizer = Tokenizer.fromFile(path.join(shared, 'tokenizer/20B_tokenizer.json'));
const encode = async text =>
    (await tokenizer.encode(text, null, {addSpecialTokens: false})).getIds();

const texts = [
  '', ' ', '  ', '   ', '\t', '\n', '\r\n', '\r', 'a', 'Hello world', 'Hello  world',
  ' Hello   world  ', 'I\'m we\'re they\'ve he\'ll she\'d it\'s can\'t \'S \'tis \'s\'s\'\'s',
  'don\'t\n\n\nstop', 'x\n y\n\n  z\t\t w \n', 'a\r\nb\r\n\r\nc', '\u{1F468}\u200D\u{1F469}\u200D\u{1F467} family',
  '\u{1F44D}\u{1F3FD} \u{1F1E9}\u{1F1EA}\u{1F3F3}\uFE0F\u200D\u{1F308}',
  'e\u0301 \u00E9 \u00C5 A\u030A \u1E9B\u0323 q\u0307\u0323 \u1EC7', '\uAC01 \u1100\u1161\u11A8 \uAC00\u11A8',
  '\u6F22\u5B57\u304B\u306A\u4EA4\u3058\u308A\u6587\u3001\u30C6\u30B9\u30C8\u3002\u30AB\u3099',
  '\u0627\u0644\u0639\u0631\u0628\u064A\u0629 \u05DE\u05B4\u05D1\u05D7\u05DF \u200FRTL\u200E \u202E',
  '\u0939\u093F\u0928\u094D\u0926\u0940 \u0BA4\u0BAE\u0BBF\u0BB4\u0BCD \u0E44\u0E17\u0E22', '\u0915\u093C \u0958 \u09C7\u09BE \u0BC6\u0BBE',
  '\u2126 \u212B \u212A \u037E \u0387 \u0374 \u2000 \u2329 \uF900 \uFB1D \u0344',
  '\x00\x01\x1B\x1C\x1D\x1E\x1F\x7F\x80\x85\xA0 \u1680\u180E\u2000\u200B\u2028\u2029\u202F\u205F\u3000\uFEFF',
  'a\x85b\xA0c\u180Ed\u200Be\u3000f\u2003 g', '\xB2\xB3\xB9\xBC\xBD\u2167\u0663\u096B 123 1234567 3.14 \xBDx',
  '_a_b__c- --==!!?? ... @#$%', '<|endoftext|>', 'a<|endoftext|>b <|endoftext|> <|padding|><|endoftext|><|endoftex',
  '<<|endoftext|>>', '<|endoftext|', ' '.repeat(30) + 'x', 'x' + ' '.repeat(60), '\n' + ' '.repeat(23) + 'y',
  ' '.repeat(24) + '\t' + ' '.repeat(25), '\t'.repeat(40), '\n'.repeat(70), 'a'.repeat(3000), 'ab'.repeat(2000),
  '\xE9'.repeat(500), '\u6F22'.repeat(600), '!'.repeat(900), '1'.repeat(700), '\''.repeat(50), ' \''.repeat(50),
  'a \u0301b', ' \u0301\u0301', '\u0301', 'a\u200Db', '\uFB01 \uFB02 \u338F \u2460', '\uFF26\uFF35\uFF2C\uFF2C\u3000\uFF57',
  '\u{1D400}\u{1D7D8} \u{20000} \u{10FFFF} \uE000', 'MixedCASE camelCase snake_case \'quoted\' "double" (paren)',
  'def f(x):\n    return x+1\n\n\tclass A:\n        pass', 'http://example.com/?q=1&r=%20#frag',
  'I\'LL \'Ve \u2019s \u2018t', '\u01C5 \u02B0 \xAA \xBA \u2170 \u24B6', '\u0345 \u00DF \u0149',
  'e' + '\u0301\u0323'.repeat(40), 'Pneumonoultramicroscopicsilicovolcanoconiosis',
];
const files = [
  'text/tinyshakespeare.txt', 'text/wikitext2.valid.txt', 'nlu/stsa.binary.dev', 'nlu/stsa.binary.test',
  'nlu/stsa.binary.train', 'nlu/stsa.fine.dev', 'nlu/stsa.fine.test', 'nlu/stsa.fine.train',
  'nlu/rt-polarity.all', 'nlu/subj.all',
];

function hashOf(ids) {
  let hash = 0xcbf29ce484222325n;
  const bytes = Buffer.alloc(4);
  for (const id of ids) {
    bytes.writeUInt32LE(id);
    for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, '0');
}

(async () => {
  for (const text of texts) console.log(JSON.stringify({text, ids: await encode(text)}));
  for (const file of files) {
    const bytes = fs.readFileSync(path.join(shared, 'data', file));
    const latin1 = file.endsWith('.all');  // the two files that are not UTF-8
    const ids = await encode(bytes.toString(latin1 ? 'latin1' : 'utf8'));
    console.log(JSON.stringify({file, latin1, count: ids.length, hash: hashOf(ids)}));
  }
})();
