# A stand-in for the part of nixpkgs' lib that our module uses, so that it can be evaluated with
# Nix alone. Modules, priorities, conditions and types behave as there: the tests pass with the real
# one too (NIXPKGS_LIB=/path/to/nixpkgs/lib).
let
  b = builtins;
  lib = rec {
    inherit (b)
      attrNames
      attrValues
      concatLists
      concatMap
      concatStringsSep
      any
      all
      head
      elem
      mapAttrs
      isAttrs
      isList
      foldl'
      ;

    # --- plain functions ---
    optional = c: x: if c then [ x ] else [ ];
    optionals = c: xs: if c then xs else [ ];
    optionalAttrs = c: xs: if c then xs else { };
    optionalString = c: x: if c then x else "";
    nameValuePair = name: value: { inherit name value; };
    mapAttrsToList = f: xs: map (name: f name xs.${name}) (attrNames xs);
    pick = names: xs: b.listToAttrs (map (name: nameValuePair name xs.${name}) names);
    mapAttrs' = f: xs: b.listToAttrs (mapAttrsToList f xs);
    genAttrs = names: f: b.listToAttrs (map (name: nameValuePair name (f name)) names);
    filterAttrs = keep: xs: pick (b.filter (name: keep name xs.${name}) (attrNames xs)) xs;
    unique = foldl' (seen: x: if elem x seen then seen else seen ++ [ x ]) [ ];
    hasPrefix = prefix: text: b.substring 0 (b.stringLength prefix) text == prefix;
    hasSuffix =
      suffix: text:
      let
        cut = b.stringLength text - b.stringLength suffix;
      in
      cut >= 0 && b.substring cut (-1) text == suffix;
    removePrefix =
      prefix: text:
      if hasPrefix prefix text then b.substring (b.stringLength prefix) (-1) text else text;
    removeSuffix =
      suffix: text:
      if hasSuffix suffix text then
        b.substring 0 (b.stringLength text - b.stringLength suffix) text
      else
        text;
    # For separators that mean nothing in a pattern.
    splitString = separator: text: b.filter b.isString (b.split separator text);
    toLower =
      let
        letters = text: b.genList (n: b.substring n 1 text) 26;
      in
      b.replaceStrings (letters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (
        letters "abcdefghijklmnopqrstuvwxyz"
      );
    toInt = b.fromJSON;
    escapeShellArg = text: "'${b.replaceStrings [ "'" ] [ "'\\''" ] text}'";
    importTOML = path: b.fromTOML (b.readFile path);
    makeBinPath = packages: concatStringsSep ":" (map (package: "${package}/bin") packages);
    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };

    # --- options and conditions ---
    mkOption = option: option // { _type = "option"; };
    mkEnableOption =
      what:
      mkOption {
        type = types.bool;
        default = false;
        description = "Whether to enable ${what}.";
      };
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkOverride = priority: content: {
      _type = "override";
      inherit priority content;
    };
    mkOptionDefault = mkOverride 1500;
    mkDefault = mkOverride 1000;
    mkForce = mkOverride 50;
    mkOrder = order: content: {
      _type = "order";
      inherit order content;
    };
    mkBefore = mkOrder 500;

    # --- types: a check, and what becomes of several definitions ---
    types =
      let
        T = description: check: merge: {
          _type = "option-type";
          inherit description check merge;
        };
        one =
          loc: values:
          if all (value: value == head values) values then
            head values
          else
            throw "The option `${show loc}' has conflicting definition values";
        scalar = description: check: T description check one;
      in
      rec {
        str = scalar "string" b.isString;
        bool = scalar "boolean" b.isBool;
        int = scalar "signed integer" b.isInt;
        number = scalar "signed integer or floating point number" (x: b.isInt x || b.isFloat x);
        port = scalar "16 bit unsigned integer" (x: b.isInt x && x >= 0 && x < 65536);
        path = scalar "absolute path" (
          x: b.isPath x || x ? outPath || (b.isString x && hasPrefix "/" x)
        );
        package = scalar "package" (x: x ? outPath);
        strMatching =
          pattern:
          scalar "string matching ${pattern}" (x: b.isString x && b.match pattern x != null);
        enum =
          values: scalar "one of ${concatStringsSep ", " (map b.toJSON values)}" (x: elem x values);
        anything = T "anything" (_: true) (
          loc: values:
          if all b.isAttrs values && !any (value: value ? outPath) values then
            b.zipAttrsWith (name: inner: anything.merge (loc ++ [ name ]) inner) values
          else if all isList values then
            concatLists values
          else
            one loc values
        );
        listOf =
          element:
          T "list of ${element.description}" (x: isList x && all element.check x) (_: concatLists);
        nullOr =
          inner:
          T "null or ${inner.description}" (x: x == null || inner.check x) (
            loc: values: if all (value: value == null) values then null else inner.merge loc values
          )
          // {
            nullable = true;
            raw = inner.raw or null;
            getSubOptions = inner.getSubOptions or (_: { });
          };
        oneOf =
          choices:
          T (concatStringsSep " or " (map (choice: choice.description) choices)) (
            x: any (choice: choice.check x) choices
          ) one;
        either = first: second: oneOf [ first second ];
        attrsOf =
          element:
          T "attribute set of ${element.description}" isAttrs null
          // {
            raw =
              loc: definitions:
              let
                sets = concatMap pushDown definitions;
                found = b.zipAttrsWith (name: given: defined element (loc ++ [ name ]) given) sets;
              in
              b.mapAttrs (_: value: value.value) (filterAttrs (_: value: value.any) found);
            getSubOptions = loc: (element.getSubOptions or (_: { })) (loc ++ [ "<name>" ]);
          };
        submodule = module: submoduleWith { modules = [ module ]; };
        submoduleWith =
          {
            modules,
            description ? "submodule",
            shorthandOnlyDefinesConfig ? true,
          }:
          T description (x: isAttrs x || b.isFunction x) null
          // {
            raw =
              loc: definitions:
              (evaluate {
                prefix = loc;
                modules = modules ++ definitions;
                specialArgs.name = b.elemAt loc (b.length loc - 1);
              }).config;
            getSubOptions = _: (evaluate { inherit modules; }).options;
          };
      };

    show = concatStringsSep ".";

    # Conditions and priorities go down to what they are about, so that names need no values.
    pushDown =
      content:
      {
        merge = concatMap pushDown (content.contents or [ ]);
        "if" = map (mapAttrs (_: mkIf content.condition)) (pushDown content.content);
        override = map (mapAttrs (_: mkOverride content.priority)) (pushDown content.content);
        order = map (mapAttrs (_: mkOrder content.order)) (pushDown content.content);
      }
      .${content._type or ""} or [ content ];

    # What holds of a list of definitions: [ { priority; order; value; } ].
    discharge =
      priority: order: content:
      let
        kind = if isAttrs content then content._type or "" else "";
      in
      if kind == "merge" then
        concatMap (discharge priority order) content.contents
      else if kind == "if" then
        if content.condition then discharge priority order content.content else [ ]
      else if kind == "override" then
        discharge content.priority order content.content
      else if kind == "order" then
        discharge priority content.order content.content
      else
        [
          {
            inherit priority order;
            value = content;
          }
        ];

    defined =
      type: loc: definitions:
      let
        held = concatMap (discharge 100 1000) definitions;
        best = foldl' (low: one: if one.priority < low then one.priority else low) 9999 held;
        kept = b.sort (x: y: x.order < y.order) (b.filter (one: one.priority == best) held);
        values = map (one: one.value) kept;
        wrong = b.filter (value: !type.check value) values;
      in
      {
        any = held != [ ];
        value =
          if wrong != [ ] then
            throw "A definition for option `${show loc}' is not of type `${type.description}'"
          else if type.nullable or false && any (value: value == null) values then
            type.merge loc values
          else if type.raw or null != null then
            # Priorities further in still count, so the definitions go in with their own.
            type.raw loc values
          else
            type.merge loc values;
      };

    # --- the module system ---
    evaluate =
      {
        modules,
        specialArgs ? { },
        prefix ? [ ],
      }:
      let
        arguments = specialArgs // {
          inherit lib config options;
        };
        load =
          module:
          let
            given = if b.isPath module || b.isString module then import module else module;
            body = if b.isFunction given then given arguments else given;
            aside = {
              imports = body.imports or [ ];
            } // optionalAttrs (body ? freeformType) { inherit (body) freeformType; };
            full =
              if body ? options || body ? config then
                body
              else
                aside // { config = b.removeAttrs body (attrNames aside); };
          in
          concatMap load (full.imports or [ ]) ++ [ full ];
        loaded = concatMap load modules;
        declared =
          trees:
          b.zipAttrsWith (
            _: values: if (head values)._type or "" == "option" then head values else declared values
          ) trees;
        options = declared (map (module: module.options or { }) loaded);
        definitions = concatMap (module: pushDown (module.config or { })) loaded;
        free = head (concatMap (module: optional (module ? freeformType) module.freeformType) loaded);
        isFree = any (module: module ? freeformType) loaded;

        fill =
          loc: tree: sets:
          b.mapAttrs (
            name: option:
            let
              here = loc ++ [ name ];
              given = map (set: set.${name}) (b.filter (set: set ? ${name}) sets);
              found = defined option.type here (
                given ++ optional (option ? default) (mkOptionDefault option.default)
              );
            in
            if option._type or "" != "option" then
              fill here option (concatMap pushDown given)
            else if found.any then
              found.value
            else
              throw "The option `${show here}' was accessed but has no value defined."
          ) tree;

        # Undeclared names, at any depth of the tree.
        strangers =
          loc: tree: sets:
          concatMap (
            set:
            concatMap (
              name:
              if !(tree ? ${name}) then
                [ (loc ++ [ name ]) ]
              else if tree.${name}._type or "" == "option" then
                [ ]
              else
                strangers (loc ++ [ name ]) tree.${name} (pushDown set.${name})
            ) (attrNames set)
          ) sets;
        unknown = strangers prefix options definitions;
        declaredValues = fill prefix options definitions;
        extra = b.zipAttrsWith (name: given: (defined free (prefix ++ [ name ]) given).value) (
          map (set: b.removeAttrs set (attrNames options)) definitions
        );
        config =
          if isFree then
            extra // declaredValues
          else if unknown != [ ] then
            throw "The option `${show (head unknown)}' does not exist."
          else
            declaredValues;
      in
      {
        inherit config options;
      };

    evalModules = evaluate;
  };
in
lib
