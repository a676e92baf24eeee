"""Words that Brazilian receptions write into a name column, and that are nobody's first name.

Each is folded: small letters without accents, dots and other marks (``names.folded``). A word
stands here only if to greet by it would be worse than to greet without a name; what is also a
usual first name (Santa, Rosa, Sol) stays out.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Before a name; what follows is looked at instead.
TITLES = _words("""
    sr sra srs sras srta srita senhor senhora senhorita seu dona
    dr dra drs dras doutor doutora prof profa professor professora
    tia tio titia titio vo vovo
    pe padre frei freira ir irmao madre monsenhor mons dom
    pr pra pastor pastora pb presbitero diac diacono diaconisa bispo bispa rev reverendo
    missionario missionaria
    eng enga engenheiro engenheira arq adv advogado advogada enf enfermeiro enfermeira
    sgt sargento cb cabo sd soldado ten tenente cap capitao maj major cel coronel
    vereador vereadora dep deputado deputada des juiz juiza
    mr mrs ms miss
""")

#: Dona with a dot; without one the letter is an initial.
DOTTED_TITLES = frozenset({"d"})

#: The entry is about somebody by their relation to the one who is named: a newborn, a mother.
#: (Irmã may be a nun's title, and folded it is the name Irma.)
RELATIONS = _words("""
    rn recem recemnascido recemnascida nascituro natimorto nativivo feto
    bebe baby nene nenem crianca menor gemeo gemea gemeos gemeas gemelar
    filho filha filhos filhas neto neta sobrinho sobrinha enteado enteada afilhado afilhada
    mae mamae pai papai genitor genitora avo bisavo sogro sogra cunhado cunhada primo prima
    irma madrinha padrinho esposa esposo marido mulher conjuge companheiro companheira
    namorado namorada noivo noiva viuva viuvo
    resp responsavel acompanhante cuidador cuidadora baba tutor tutora dependente titular
    amigo amiga vizinho vizinha
""")

#: A name does not begin with them: "Da Silva", and what is left of "Tia do João".
PARTICLES = _words("de da do dos das e del della di du von van")

#: Shortened first names, which nobody is called.
ABBREVIATIONS = _words("ma mto mta fco fca anto jse")

#: What is entered when nobody knew the name, or the row is no person's.
PLACEHOLDERS = _words("""
    none null nan nil undefined unknown anonymous guest user customer patient client contact new
    test testing default admin administrator
    sem nao ni na nd desconhecido desconhecida ignorado ignorada anonimo anonima
    indefinido indefinida inominado nome nomes sobrenome
    paciente pacientes pac cliente clientes contato contatos contacto pessoa usuario usuaria
    novo nova teste testes testando demo exemplo fulano fulana beltrano beltrana
    ciclano ciclana sicrano sicrana alguem ninguem qualquer outro outra
    asdf qwe qwerty abc xyz
    whatsapp whats wpp wats watts zap zapzap telegram instagram insta facebook messenger google
    celular telefone fone tel numero recado recados ligar ligacao chamada mobile
    particular convenio sus plano unimed bradesco amil hapvida
    consulta retorno avaliacao exame procedimento cirurgia encaixe primeira primeiro urgencia
    agenda agendamento horario livre vago vaga reserva reservado reservada bloqueado bloqueio
    almoco intervalo feriado ferias reuniao folga
    aguardando confirmar confirmado confirmada cancelado cancelada desmarcado desmarcada faltou
    falecido falecida obito duplicado duplicada inativo inativa excluir excluido apagar errado
    errada engano
    recepcao recepcionista secretaria secretario atendente atendimento funcionario funcionaria
""")

#: Anywhere in the entry they make it a company's, or another clinic's.
COMPANIES = _words("""
    ltda eireli epp cia cnpj empresa comercio industria distribuidora transportadora
    transportes servicos consultoria imobiliaria construtora contabilidade
    clinica clinicas consultorio consultorios hospital laboratorio farmacia drogaria ubs upa
    policlinica ambulatorio odontologia
    loja supermercado mercearia restaurante lanchonete padaria salao academia oficina
    escola creche colegio faculdade universidade
    condominio prefeitura secretaria igreja paroquia sindicato associacao cooperativa
    casa
""")

#: The most frequent surnames that are hardly ever first names: "Dr. Silva", "SOUZA ANA".
SURNAMES = _words("""
    silva santos oliveira souza sousa rodrigues ferreira alves pereira lima gomes costa ribeiro
    martins carvalho almeida lopes soares fernandes vieira barbosa rocha dias nascimento andrade
    moreira nunes marques machado mendes freitas cardoso ramos goncalves teixeira araujo
    cavalcante cavalcanti monteiro moura barros borges correia correa batista campos pinto moraes
    morais azevedo castro medeiros macedo siqueira figueiredo nogueira queiroz bezerra
    farias coelho cruz
""")
